import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.sun.net.httpserver.HttpServer;
import com.uber.m3.tally.RootScopeBuilder;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.temporal.activity.ActivityInterface;
import io.temporal.activity.ActivityMethod;
import io.temporal.activity.ActivityOptions;
import io.temporal.api.common.v1.Payload;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowClientOptions;
import io.temporal.common.converter.CodecDataConverter;
import io.temporal.common.converter.DefaultDataConverter;
import io.temporal.common.reporter.MicrometerClientStatsReporter;
import io.temporal.payload.codec.PayloadCodec;
import io.temporal.serviceclient.WorkflowServiceStubs;
import io.temporal.serviceclient.WorkflowServiceStubsOptions;
import io.temporal.worker.WorkerFactory;
import io.temporal.worker.WorkerFactoryOptions;
import io.temporal.worker.WorkerOptions;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A small worker whose state is chosen by a flag. `record.py` runs it and records its metrics.
 *
 * <p>The codec only reverses bytes. What it does while it does so is the state.
 */
public final class Worker {
  static String state = "healthy";

  static void sleep(double seconds) {
    try {
      Thread.sleep((long) (seconds * 1000));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  static final class Codec implements PayloadCodec {
    private final Object turn = new Object();

    private void pause() {
      ThreadLocalRandom random = ThreadLocalRandom.current();
      switch (state) {
        // Each task has a thread, so a codec that sleeps holds up its own task only.
        case "held", "awaited-rare" -> sleep(random.nextDouble() < 0.1 ? 0.4 : 0);
        case "held-often" -> sleep(0.1);
        case "awaited" -> sleep(0.4);
        case "awaited-jitter" -> sleep(-Math.log(1 - random.nextDouble()) * 0.2);
        case "awaited-queue" -> {
          synchronized (turn) {
            sleep(random.nextDouble() < 0.1 ? 0.4 : 0);
          }
        }
        default -> {}
      }
    }

    private static ByteString reversed(ByteString data) {
      byte[] bytes = data.toByteArray();
      for (int i = 0, j = bytes.length - 1; i < j; i++, j--) {
        byte kept = bytes[i];
        bytes[i] = bytes[j];
        bytes[j] = kept;
      }
      return ByteString.copyFrom(bytes);
    }

    @Override
    public List<Payload> encode(List<Payload> payloads) {
      pause();
      return payloads.stream()
          .map(
              p ->
                  Payload.newBuilder()
                      .putMetadata("encoding", ByteString.copyFromUtf8("reversed"))
                      .setData(reversed(p.toByteString()))
                      .build())
          .toList();
    }

    @Override
    public List<Payload> decode(List<Payload> payloads) {
      pause();
      return payloads.stream().map(Codec::decoded).toList();
    }

    private static Payload decoded(Payload payload) {
      ByteString encoding = payload.getMetadataOrDefault("encoding", ByteString.EMPTY);
      if (!encoding.equals(ByteString.copyFromUtf8("reversed"))) {
        return payload;
      }
      try {
        return Payload.parseFrom(reversed(payload.getData()));
      } catch (InvalidProtocolBufferException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  @ActivityInterface
  public interface Activities {
    @ActivityMethod(name = "compose")
    String compose(String name);

    @ActivityMethod(name = "export")
    String export(String name);
  }

  public static final class ActivitiesImpl implements Activities {
    @Override
    public String compose(String name) {
      sleep(state.equals("few-activity-slots") ? 0.3 : 0.02);
      return "Hello, " + name;
    }

    @Override
    public String export(String name) {
      if (state.equals("stuck-activities")) {
        sleep(Integer.MAX_VALUE);
      }
      sleep(state.equals("slow-activities") ? 20 : 0.005);
      return name;
    }
  }

  static boolean aboutActivities() {
    return state.equals("slow-activities") || state.equals("stuck-activities");
  }

  static void compute() {
    if (!state.equals("computes")) {
      return;
    }
    long until = System.nanoTime() + 150_000_000L;
    while (System.nanoTime() < until) {
      Thread.onSpinWait();
    }
  }

  static Activities activities(Duration timeout) {
    return Workflow.newActivityStub(
        Activities.class, ActivityOptions.newBuilder().setStartToCloseTimeout(timeout).build());
  }

  @WorkflowInterface
  public interface Greeting {
    @WorkflowMethod
    String run(String name);
  }

  /** Two activities, one after the other. */
  public static final class GreetingImpl implements Greeting {
    @Override
    public String run(String name) {
      Activities activities = activities(Duration.ofMinutes(1));
      compute();
      if (state.equals("nondeterministic")
          && io.temporal.workflow.unsafe.WorkflowUnsafe.isReplaying()) {
        Workflow.sleep(1000);
      }
      String text = activities.compose(name);
      compute();
      if (aboutActivities()) {
        return text;
      }
      if (state.equals("too-large")) {
        return "x".repeat(5_000_000);
      }
      if (state.equals("tiny-cache") || state.equals("few-threads")) {
        for (int i = 0; i < 3; i++) {
          Workflow.sleep(1000);
          text = activities.compose(name);
        }
      }
      return activities.export(text);
    }
  }

  @WorkflowInterface
  public interface Quick {
    @WorkflowMethod
    String run(String name);
  }

  /** No activity, unless the state is about activities. */
  public static final class QuickImpl implements Quick {
    @Override
    public String run(String name) {
      if (aboutActivities()) {
        return activities(Duration.ofMinutes(5)).export(name);
      }
      compute();
      return name;
    }
  }

  /** Serves the metrics as an application does: plain, or as Spring Boot does, among its own. */
  static PrometheusMeterRegistry metrics(String address, boolean asSpring) throws Exception {
    PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    if (asSpring) {
      registry.config().commonTags("application", "greeter");
      new JvmMemoryMetrics().bindTo(registry);
      new JvmThreadMetrics().bindTo(registry);
    }
    String[] parts = address.split(":");
    InetSocketAddress listen = new InetSocketAddress(parts[0], Integer.parseInt(parts[1]));
    HttpServer server = HttpServer.create(listen, 0);
    server.createContext(
        "/",
        exchange -> {
          byte[] page = registry.scrape().getBytes(StandardCharsets.UTF_8);
          exchange.getResponseHeaders().set("Content-Type", "text/plain; version=0.0.4");
          exchange.sendResponseHeaders(200, page.length);
          try (var body = exchange.getResponseBody()) {
            body.write(page);
          }
        });
    server.start();
    return registry;
  }

  public static void main(String[] args) throws Exception {
    Map<String, String> flags = new HashMap<>();
    for (int i = 0; i < args.length; i++) {
      String[] parts = args[i].split("=", 2);
      flags.put(parts[0], parts.length == 2 ? parts[1] : args[++i]);
    }
    state = flags.getOrDefault("--state", "healthy");
    boolean asSpring = flags.getOrDefault("--handler", "plain").equals("spring");
    PrometheusMeterRegistry registry = metrics(flags.get("--metrics"), asSpring);
    var scope =
        new RootScopeBuilder()
            .reporter(new MicrometerClientStatsReporter(registry))
            .reportEvery(com.uber.m3.util.Duration.ofSeconds(1));
    WorkflowServiceStubs service =
        WorkflowServiceStubs.newServiceStubs(
            WorkflowServiceStubsOptions.newBuilder()
                .setTarget(flags.get("--address"))
                .setMetricsScope(scope)
                .build());
    WorkflowClient client =
        WorkflowClient.newInstance(
            service,
            WorkflowClientOptions.newBuilder()
                .setDataConverter(
                    new CodecDataConverter(
                        DefaultDataConverter.newDefaultInstance(), List.of(new Codec())))
                .build());
    WorkerFactoryOptions.Builder factoryOptions = WorkerFactoryOptions.newBuilder();
    WorkerOptions.Builder options = WorkerOptions.newBuilder();
    switch (state) {
      case "few-slots" -> options.setMaxConcurrentWorkflowTaskExecutionSize(2);
      case "few-activity-slots" -> options.setMaxConcurrentActivityExecutionSize(2);
      case "few-pollers" -> options.setMaxConcurrentWorkflowTaskPollers(2);
      case "slow-activities" -> options.setMaxConcurrentActivityExecutionSize(10);
      case "stuck-activities" -> options.setMaxConcurrentActivityExecutionSize(6);
      case "tiny-cache", "nondeterministic" -> factoryOptions.setWorkflowCacheSize(2);
      case "few-threads" -> factoryOptions.setMaxWorkflowThreadCount(8);
      default -> {}
    }
    WorkerFactory factory = WorkerFactory.newInstance(client, factoryOptions.build());
    io.temporal.worker.Worker worker =
        factory.newWorker(flags.getOrDefault("--task-queue", "check-worker"), options.build());
    worker.registerWorkflowImplementationTypes(GreetingImpl.class, QuickImpl.class);
    worker.registerActivitiesImplementations(new ActivitiesImpl());
    factory.start();
    Thread.currentThread().join();
  }
}
