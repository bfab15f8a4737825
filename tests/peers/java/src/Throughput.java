import com.google.protobuf.ByteString;
import io.temporal.api.common.v1.Payload;
import java.util.Collections;
import java.util.List;
import java.util.function.UnaryOperator;

/** How long a payload takes to encrypt and to decrypt. */
final class Throughput {
  private record Calls(int payloads, int bytes) {}

  private static final List<Calls> CALLS =
      List.of(
          new Calls(1, 64),
          new Calls(1, 1 << 10),
          new Calls(1, 64 << 10),
          new Calls(1, 1 << 20),
          new Calls(100, 1 << 10));
  // The clock is read once for at least that many bytes.
  private static final int BATCH = 64 << 10;
  // Longer than elsewhere: the virtual machine compiles for seconds, on a busy machine.
  private static final double WARM_UP = 2; // seconds
  private static final double SAMPLE = 0.1; // seconds
  private static final int SAMPLES = 5;

  private Throughput() {}

  /**
   * Prints a line for each sample: name, operation, payloads in a call, bytes in a payload, microseconds for a payload.
   */
  static void measure() {
    var codec = new Encrypting();
    for (var calls : CALLS) {
      var payload =
          Payload.newBuilder()
              .putMetadata("encoding", ByteString.copyFromUtf8("json/plain"))
              .setData(ByteString.copyFromUtf8("x".repeat(calls.bytes)))
              .build();
      var plain = Collections.nCopies(calls.payloads, payload);
      var sealed = codec.encode(plain);
      if (!codec.decode(sealed).equals(plain)) {
        throw new IllegalStateException("what was decrypted is not what was encrypted");
      }
      measure("encrypt", calls, plain, codec::encode);
      measure("decrypt", calls, sealed, codec::decode);
    }
  }

  private static void measure(
      String operation, Calls calls, List<Payload> payloads, UnaryOperator<List<Payload>> call) {
    sample(WARM_UP, calls, payloads, call);
    for (var samples = 0; samples < SAMPLES; samples++) {
      var time = sample(SAMPLE, calls, payloads, call);
      System.out.println(String.join("\t", "Java", operation, "" + calls.payloads, "" + calls.bytes, "" + time));
    }
  }

  private static double sample(
      double atLeast, Calls calls, List<Payload> payloads, UnaryOperator<List<Payload>> call) {
    var inBatch = Math.max(1, BATCH / (calls.bytes * calls.payloads));
    var start = System.nanoTime();
    var count = 0L;
    while (System.nanoTime() - start < atLeast * 1e9) {
      for (var done = 0; done < inBatch; done++) {
        call.apply(payloads);
      }
      count += (long) inBatch * calls.payloads;
    }
    return (System.nanoTime() - start) / 1e3 / count;
  }
}
