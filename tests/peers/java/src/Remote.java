import com.google.protobuf.util.JsonFormat;
import io.temporal.api.common.v1.Payload;
import io.temporal.api.common.v1.Payloads;
import io.temporal.payload.codec.PayloadCodec;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;

/** Holds no key: a codec server encrypts and decrypts. */
record Remote(String url, HttpClient client) implements PayloadCodec {
  @Override
  public List<Payload> encode(List<Payload> payloads) {
    return post("/encode", payloads);
  }

  @Override
  public List<Payload> decode(List<Payload> payloads) {
    return post("/decode", payloads);
  }

  private List<Payload> post(String path, List<Payload> payloads) {
    try {
      var body = JsonFormat.printer().print(Payloads.newBuilder().addAllPayloads(payloads));
      var request =
          HttpRequest.newBuilder(URI.create(url + path))
              .timeout(Duration.ofSeconds(30))
              .header("Content-Type", "application/json")
              .POST(HttpRequest.BodyPublishers.ofString(body))
              .build();
      var response = client.send(request, HttpResponse.BodyHandlers.ofString());
      if (response.statusCode() != 200) {
        throw new IOException(path + ": " + response.statusCode());
      }
      var answer = Payloads.newBuilder();
      JsonFormat.parser().merge(response.body(), answer);
      if (answer.getPayloadsCount() != payloads.size()) {
        throw new IOException(
            payloads.size() + " payloads went to " + path + ", " + answer.getPayloadsCount() + " came back");
      }
      return answer.getPayloadsList();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(error);
    }
  }
}
