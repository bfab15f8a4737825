import io.temporal.api.common.v1.Payload;
import io.temporal.common.context.ContextPropagator;
import io.temporal.common.converter.DataConverter;
import io.temporal.common.converter.DefaultDataConverter;
import java.util.Map;

/** Propagates a header that names who calls, as tracing does: a client sends it, and a workflow reads it. */
final class Caller implements ContextPropagator {
  private static final String NAME = "caller";
  private static final DataConverter CONVERTER = DefaultDataConverter.newDefaultInstance();
  private static final ThreadLocal<String> CURRENT = new ThreadLocal<>();

  /** Who calls, in this thread. */
  static String current() {
    return CURRENT.get();
  }

  static void set(String name) {
    CURRENT.set(name);
  }

  @Override
  public String getName() {
    return NAME;
  }

  @Override
  public Map<String, Payload> serializeContext(Object context) {
    return context == null ? Map.of() : Map.of(NAME, CONVERTER.toPayload(context).orElseThrow());
  }

  @Override
  public Object deserializeContext(Map<String, Payload> headers) {
    var header = headers.get(NAME);
    return header == null ? null : CONVERTER.fromPayload(header, String.class, String.class);
  }

  @Override
  public Object getCurrentContext() {
    return current();
  }

  @Override
  public void setCurrentContext(Object context) {
    set((String) context);
  }
}
