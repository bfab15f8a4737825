// The stream of events. Each connection starts with a snapshot, so that nothing is missing or there twice.

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 5000;

/** Calls `on.snapshot(data)`, `on.change(data)`, `on.lost()` and `on.over()`. Returns a function that asks for a new
 * snapshot. */
export function connect(on) {
  let source;
  let wait = FIRST_WAIT;
  let retry;

  function open() {
    clearTimeout(retry);
    source?.close();
    source = new EventSource('/events');
    source.addEventListener('snapshot', (event) => {
      wait = FIRST_WAIT;
      on.snapshot(JSON.parse(event.data));
    });
    source.addEventListener('change', (event) => on.change(JSON.parse(event.data)));
    source.addEventListener('end', () => {
      source.close();
      on.over();
    });
    // The browser's own retry stops at some errors, for example when too many pages are open.
    source.addEventListener('error', () => {
      source.close();
      on.lost();
      retry = setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    });
  }

  open();
  return open;
}
