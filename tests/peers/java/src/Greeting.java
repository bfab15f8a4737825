import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import io.temporal.activity.Activity;
import io.temporal.activity.ActivityInterface;
import io.temporal.activity.ActivityMethod;
import io.temporal.activity.ActivityOptions;
import io.temporal.failure.ApplicationFailure;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;
import java.util.Objects;

/** GreetingWorkflow in Java, with the names, the JSON and the texts of greeting/src/workflows.rs. */
final class Greeting {
  static final String FAILS_ON_PURPOSE = "the activity failed on purpose";

  private Greeting() {}

  /** Absent: 10 activities, 0.5 seconds. Failing: "once" or "for_good". */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  record Input(
      @JsonProperty("id") String id,
      @JsonProperty("name") String name,
      @JsonProperty("activities") Integer activities,
      @JsonProperty("activity_seconds") Double seconds,
      @JsonProperty("failing") String failing) {
    int count() {
      return Objects.requireNonNullElse(activities, 10);
    }

    String result() {
      return "Greeted " + name + " " + count() + " times";
    }

    ActivityInput activity() {
      return new ActivityInput("Hello", name, seconds, failing);
    }
  }

  @JsonInclude(JsonInclude.Include.NON_NULL)
  record ActivityInput(
      @JsonProperty("greeting") String greeting,
      @JsonProperty("name") String name,
      @JsonProperty("seconds") Double seconds,
      @JsonProperty("failing") String failing) {
    double duration() {
      return Objects.requireNonNullElse(seconds, 0.5);
    }

    String result() {
      // Rust writes 1.0 as 1.
      var seconds = String.valueOf(duration()).replaceFirst("\\.0$", "");
      return greeting + ", " + name + ", after " + seconds + " seconds of work!";
    }

    String details() {
      return greeting + ", " + name + ", not today";
    }
  }

  @WorkflowInterface
  public interface GreetingWorkflow {
    @WorkflowMethod(name = "GreetingWorkflow")
    String run(Input input);
  }

  @ActivityInterface
  public interface Activities {
    @ActivityMethod(name = "compose_greeting")
    String composeGreeting(ActivityInput input);
  }

  public static final class InJava implements GreetingWorkflow {
    private final Activities activities =
        Workflow.newActivityStub(
            Activities.class,
            ActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofSeconds(20)).build());

    @Override
    public String run(Input input) {
      for (var done = 0; done < input.count(); done++) {
        activities.composeGreeting(input.activity());
      }
      return input.result();
    }
  }

  public static final class ActivitiesInJava implements Activities {
    @Override
    public String composeGreeting(ActivityInput input) {
      var isForGood = "for_good".equals(input.failing());
      var attempt = Activity.getExecutionContext().getInfo().getAttempt();
      if (isForGood || "once".equals(input.failing()) && attempt == 1) {
        throw ApplicationFailure.newBuilder()
            .setMessage(FAILS_ON_PURPOSE)
            .setType("OnPurpose")
            .setDetails(input.details())
            .setNonRetryable(isForGood)
            .setNextRetryDelay(Duration.ofMillis(50))
            .build();
      }
      try {
        Thread.sleep(Math.round(input.duration() * 1000));
      } catch (InterruptedException error) {
        throw Activity.wrap(error);
      }
      return input.result();
    }
  }
}
