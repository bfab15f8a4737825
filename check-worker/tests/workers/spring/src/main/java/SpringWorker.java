import io.temporal.common.converter.CodecDataConverter;
import io.temporal.common.converter.DataConverter;
import io.temporal.common.converter.DefaultDataConverter;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Bean;

/**
 * The worker of `../java` as a Spring Boot application. Temporal's starter creates client, worker and
 * metrics from properties, and the actuator serves the metrics.
 */
@SpringBootConfiguration
@EnableAutoConfiguration
public class SpringWorker {
  @Bean
  DataConverter dataConverter() {
    return new CodecDataConverter(
        DefaultDataConverter.newDefaultInstance(), List.of(new Worker.Codec()));
  }

  @Bean
  Worker.ActivitiesImpl activities() {
    return new Worker.ActivitiesImpl();
  }

  public static void main(String[] args) {
    Map<String, String> flags = new HashMap<>();
    for (int i = 0; i < args.length; i++) {
      String[] parts = args[i].split("=", 2);
      flags.put(parts[0], parts.length == 2 ? parts[1] : args[++i]);
    }
    Worker.state = flags.getOrDefault("--state", "healthy");
    String[] listen = flags.get("--metrics").split(":");
    String worker = "spring.temporal.workers[0].";
    Map<String, Object> properties = new HashMap<>();
    properties.put("server.address", listen[0]);
    properties.put("server.port", listen[1]);
    properties.put("management.endpoints.web.exposure.include", "prometheus");
    properties.put("spring.temporal.connection.target", flags.get("--address"));
    properties.put(worker + "task-queue", flags.getOrDefault("--task-queue", "check-worker"));
    properties.put(worker + "workflow-classes", "Worker$GreetingImpl,Worker$QuickImpl");
    properties.put(worker + "activity-beans", "activities");
    String capacity = worker + "capacity.max-concurrent-";
    switch (Worker.state) {
      case "few-slots" -> properties.put(capacity + "workflow-task-executors", 2);
      case "few-activity-slots" -> properties.put(capacity + "activity-executors", 2);
      case "few-pollers" -> properties.put(capacity + "workflow-task-pollers", 2);
      case "slow-activities" -> properties.put(capacity + "activity-executors", 10);
      case "stuck-activities" -> properties.put(capacity + "activity-executors", 6);
      case "tiny-cache", "nondeterministic" ->
          properties.put("spring.temporal.workflow-cache.max-instances", 2);
      case "few-threads" -> properties.put("spring.temporal.workflow-cache.max-threads", 8);
      default -> {}
    }
    SpringApplication application = new SpringApplication(SpringWorker.class);
    application.setDefaultProperties(properties);
    application.run();
  }
}
