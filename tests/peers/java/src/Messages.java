import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowUpdateException;
import io.temporal.failure.ApplicationFailure;
import io.temporal.workflow.QueryMethod;
import io.temporal.workflow.SignalMethod;
import io.temporal.workflow.UpdateMethod;
import io.temporal.workflow.UpdateValidatorMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Signals, updates, queries, a memo and a header, between a client and a worker of which one is in Rust. */
final class Messages {
  /** What an update refuses, and the message of its failure. */
  private static final String REFUSED = "refused on purpose";

  private static final String NOTE = "Žofie 王小明 🦀";
  // The server stores at most 2 MiB in a payload.
  private static final String LONG = "x".repeat(1_900_000);

  private Messages() {}

  /** Each message has a text, or null. */
  @WorkflowInterface
  public interface MessagesWorkflow {
    @WorkflowMethod(name = "MessagesWorkflow")
    List<String> run(String first);

    @SignalMethod(name = "add")
    void add(String text);

    @SignalMethod(name = "end")
    void end(String text);

    @QueryMethod(name = "caller")
    String caller();

    @QueryMethod(name = "count")
    int count(String text);

    @UpdateMethod(name = "replace")
    String replace(String text);

    @UpdateValidatorMethod(updateName = "replace")
    void check(String text);
  }

  public static final class InJava implements MessagesWorkflow {
    private final List<String> held = new ArrayList<>();
    private String caller;
    private boolean hasEnded;

    @Override
    public List<String> run(String first) {
      caller = Caller.current();
      Workflow.await(() -> hasEnded);
      var all = new ArrayList<>(held);
      all.add(0, first);
      return all;
    }

    @Override
    public void add(String text) {
      held.add(text);
    }

    @Override
    public void end(String text) {
      held.add(text);
      hasEnded = true;
    }

    @Override
    public String caller() {
      return caller;
    }

    @Override
    public int count(String text) {
      return Collections.frequency(held, text);
    }

    @Override
    public String replace(String text) {
      return held.set(held.size() - 1, text);
    }

    @Override
    public void check(String text) {
      if (REFUSED.equals(text)) {
        // With an ApplicationFailure, 1.38.0 loses the message: temporalio/sdk-java#2875.
        throw new IllegalArgumentException(REFUSED);
      }
    }
  }

  /** Sends all kinds of messages to a workflow, checks the answers, and returns its id. */
  static String send(WorkflowClient client, String queue) throws TimeoutException {
    var memo = new HashMap<String, Object>(Map.of("note", NOTE, "empty", ""));
    memo.put("nil", null);
    var options =
        WorkflowOptions.newBuilder().setWorkflowId("messages").setTaskQueue(queue).setMemo(memo).build();
    var stub = client.newUntypedWorkflowStub("MessagesWorkflow", options);
    Caller.set(NOTE);
    stub.start((Object) null);
    for (var text : Arrays.asList("", null, LONG)) {
      stub.signal("add", text);
    }
    expect(stub.update("replace", String.class, "World"), LONG);
    try {
      expect(stub.update("replace", String.class, REFUSED), "a failure");
    } catch (WorkflowUpdateException error) {
      expect(((ApplicationFailure) error.getCause()).getOriginalMessage(), REFUSED);
    }
    expect(stub.query("count", Integer.class, ""), 1);
    expect(stub.query("count", Integer.class, (Object) null), 1);
    expect(stub.query("count", Integer.class, LONG), 0);
    expect(stub.query("caller", String.class), NOTE);
    var description = stub.describe();
    for (var field : memo.entrySet()) {
      expect(description.getMemo(field.getKey(), String.class), field.getValue());
    }
    stub.signal("end", NOTE);
    var result = stub.getResult(120, TimeUnit.SECONDS, List.class);
    expect(result, Arrays.asList(null, "", null, "World", NOTE));
    return stub.getExecution().getWorkflowId();
  }

  private static void expect(Object got, Object expected) {
    if (!Objects.equals(got, expected)) {
      throw new IllegalStateException("%.200s came back, not %.200s".formatted(got, expected));
    }
  }
}
