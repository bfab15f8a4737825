import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowClientOptions;
import io.temporal.client.WorkflowFailedException;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.common.converter.CodecDataConverter;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.failure.ActivityFailure;
import io.temporal.failure.ApplicationFailure;
import io.temporal.payload.codec.PayloadCodec;
import io.temporal.serviceclient.WorkflowServiceStubs;
import io.temporal.serviceclient.WorkflowServiceStubsOptions;
import io.temporal.worker.WorkerFactory;
import java.net.http.HttpClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;

/**
 * A client and a worker in Java for the other half in Rust. tests/live/peers.rs runs each of these:
 *
 * <pre>
 * Peer client ADDRESS QUEUE                starts workflows on the Rust worker, and checks what they return
 * Peer remote ADDRESS QUEUE CODEC_SERVER   the same, with a codec server that encrypts and decrypts
 * Peer messages ADDRESS QUEUE CODEC_SERVER sends messages and a header through the codec server
 * Peer worker ADDRESS QUEUE                runs workflows that the Rust starter starts, until it is stopped
 * </pre>
 *
 * tests/peers/throughput.sh runs this:
 *
 * <pre>
 * Peer throughput                          measures how fast the codec is
 * </pre>
 */
public final class Peer {
  private static final String USAGE =
      """
      usage: Peer client ADDRESS QUEUE
             Peer remote ADDRESS QUEUE CODEC_SERVER
             Peer messages ADDRESS QUEUE CODEC_SERVER
             Peer worker ADDRESS QUEUE
             Peer throughput""";

  // The last one is 1 MiB.
  private static final List<String> NAMES = List.of("World", "Žofie 王小明 🦀", "", "x".repeat(1 << 20));

  public static void main(String[] words) {
    try {
      run(words);
    } catch (Exception error) {
      error.printStackTrace();
      // Threads of the SDK would keep this process.
      System.exit(1);
    }
  }

  private static void run(String[] words) throws TimeoutException {
    var does = words.length == 0 ? "" : words[0] + " " + words.length;
    switch (does) {
      case "client 3" -> start(connect(words[1], new Encrypting()), words[2], "client");
      case "remote 4" -> start(connect(words[1], remote(words[3])), words[2], "remote");
      case "messages 4" -> {
        var id = Messages.send(connect(words[1], remote(words[3])), words[2]);
        System.out.println("[\"" + id + "\"]");
      }
      case "worker 3" -> {
        work(connect(words[1], new Encrypting()), words[2]);
        return;
      }
      case "throughput 1" -> Throughput.measure();
      default -> {
        System.err.println(USAGE);
        System.exit(2);
      }
    }
    System.exit(0);
  }

  private static PayloadCodec remote(String url) {
    return new Remote(url, HttpClient.newHttpClient());
  }

  private static WorkflowClient connect(String address, PayloadCodec codec) {
    // True: messages and stack traces of failures are encrypted, too.
    var converter = new CodecDataConverter(DefaultDataConverter.newDefaultInstance(), List.of(codec), true);
    return WorkflowClient.newInstance(
        WorkflowServiceStubs.newServiceStubs(WorkflowServiceStubsOptions.newBuilder().setTarget(address).build()),
        WorkflowClientOptions.newBuilder()
            .setDataConverter(converter)
            .setContextPropagators(List.of(new Caller()))
            .build());
  }

  /** Starts a workflow for each name and one that fails, and prints their ids as one line of JSON. */
  private static void start(WorkflowClient client, String queue, String prefix) throws TimeoutException {
    var inputs = new ArrayList<Greeting.Input>();
    for (var name : NAMES) {
      inputs.add(new Greeting.Input(String.valueOf(inputs.size()), name, 2, 0.1, null));
    }
    inputs.add(new Greeting.Input("fails", "World", 2, 0.1, "for_good"));

    var stubs = new ArrayList<WorkflowStub>();
    for (var input : inputs) {
      var options =
          WorkflowOptions.newBuilder().setWorkflowId(prefix + "-" + input.id()).setTaskQueue(queue).build();
      var stub = client.newUntypedWorkflowStub("GreetingWorkflow", options);
      stub.start(input);
      stubs.add(stub);
    }
    for (var i = 0; i < stubs.size(); i++) {
      var input = inputs.get(i);
      var isFailing = input.failing() != null;
      String result;
      try {
        result = "returned " + stubs.get(i).getResult(120, TimeUnit.SECONDS, String.class);
      } catch (WorkflowFailedException error) {
        result = "failed: " + failure(error);
      }
      var expected =
          isFailing
              ? "failed: " + Greeting.FAILS_ON_PURPOSE + ": " + input.activity().details()
              : "returned " + input.result();
      if (!result.equals(expected)) {
        throw new IllegalStateException("%s-%s %.200s, not %.200s".formatted(prefix, input.id(), result, expected));
      }
    }
    var ids = inputs.stream().map(input -> '"' + prefix + "-" + input.id() + '"');
    System.out.println(ids.collect(Collectors.joining(",", "[", "]")));
  }

  /** The message and the details of an activity's own failure, within the activity's and the workflow's. */
  private static String failure(WorkflowFailedException error) {
    if (error.getCause() instanceof ActivityFailure activity
        && activity.getCause() instanceof ApplicationFailure failure) {
      return failure.getOriginalMessage() + ": " + failure.getDetails().get(String.class);
    }
    throw error;
  }

  private static void work(WorkflowClient client, String queue) {
    var factory = WorkerFactory.newInstance(client);
    var worker = factory.newWorker(queue);
    worker.registerWorkflowImplementationTypes(Greeting.InJava.class, Messages.InJava.class);
    worker.registerActivitiesImplementations(new Greeting.ActivitiesInJava());
    factory.start();
  }

  private Peer() {}
}
