// What the page knows of the runs, and what follows from it.

/** What the timeline shows at a time, in seconds. */
export const WINDOW = 10;
// The server keeps 2,400 frames of a run and 10,000 segments. Beyond these, the page asks for what the server kept.
const MOST_FRAMES = 3000;
const MOST_SEGMENTS = 12000;

export class Run {
  constructor({ run, name, workflows, outcome = null, frames = [], thread = [], thread_from = 0 }) {
    Object.assign(this, { run, name, workflows, outcome, frames, thread, threadFrom: thread_from });
    this.cameAt = 0;
    /** Where the reader looks: the end of the ten seconds; null is now. */
    this.view = null;
  }

  get last() { return this.frames.at(-1); }
  get at() { return this.last?.at ?? 0; }
  get isMeasured() { return this.last?.codec_measured ?? false; }

  /** Returns whether this is more than the page keeps. */
  push(frame, thread) {
    this.frames.push(frame);
    this.cameAt = performance.now();
    for (const segment of thread) this.#extend(segment);
    return this.frames.length > MOST_FRAMES || this.thread.length > MOST_SEGMENTS;
  }

  /** A segment that has gone on comes again, with the same start. */
  #extend(segment) {
    const [from, to, doing] = segment;
    for (let i = this.thread.length - 1; i >= Math.max(0, this.thread.length - 64); i--) {
      const known = this.thread[i];
      if (Math.abs(known[0] - from) < 1e-6 && known[2] === doing) {
        known[1] = Math.max(known[1], to);
        return;
      }
    }
    this.thread.push(segment);
  }

  /** What the thread did between two moments, in shares of that time. */
  shares(from, to) {
    from = Math.max(from, this.threadFrom, 0);
    const length = to - from;
    if (!(length > 0)) return { blocked: 0, busy: 0, free: 1, encode: 0, decode: 0, longest: 0 };
    const within = this.thread.filter((segment) => segment[1] > from && segment[0] < to);
    const of = (kept) => total(merged(within.filter((segment) => kept(segment[2]))), from, to) / length;
    const isCodec = (doing) => doing !== 'busy';
    const blocked = of(isCodec);
    const any = of(() => true);
    const longest = within.reduce((most, [a, b, doing]) => (isCodec(doing) ? Math.max(most, b - a) : most), 0);
    return {
      blocked, busy: any - blocked, free: 1 - any, longest,
      encode: of((doing) => doing === 'encode'), decode: of((doing) => doing === 'decode'),
    };
  }

  /** The shares of blocked and busy in so many equal parts of the time until `end`. */
  parts(end, parts) {
    const codec = merged(this.thread.filter((segment) => segment[2] !== 'busy'));
    const any = merged(this.thread);
    return [spread(codec, end, parts), spread(any, end, parts)];
  }
}

/** Segments by their start, without overlaps. */
function merged(segments) {
  const sorted = segments.map(([from, to]) => [from, to]).sort((a, b) => a[0] - b[0]);
  const result = [];
  for (const segment of sorted) {
    const before = result.at(-1);
    if (before && segment[0] <= before[1]) before[1] = Math.max(before[1], segment[1]);
    else result.push(segment);
  }
  return result;
}

function total(segments, from, to) {
  return segments.reduce((sum, [a, b]) => sum + Math.min(b, to) - Math.max(a, from), 0);
}

function spread(segments, end, parts) {
  const width = end / parts;
  const shares = new Float64Array(parts);
  for (const [from, to] of segments) {
    for (let i = Math.floor(from / width); i < parts && i * width < to; i++) {
      if (i >= 0) shares[i] += (Math.min(to, (i + 1) * width) - Math.max(from, i * width)) / width;
    }
  }
  return shares;
}

/** All runs, in the order of their start. */
export class Runs {
  all = [];
  heading = '';

  snapshot({ heading, runs }) {
    const views = new Map(this.all.map((run) => [run.run, run.view]));
    this.heading = heading;
    this.all = runs.map((run) => Object.assign(new Run(run), { view: views.get(run.run) ?? null }));
  }

  /** Returns whether the page should ask for a new snapshot. */
  change(change) {
    if (change.change === 'start') {
      this.all.push(new Run(change));
      // The server keeps as many.
      if (this.all.length > 16) this.all.shift();
      return false;
    }
    const run = this.all.find((run) => run.run === change.run);
    if (!run) return false;
    if (change.change === 'finish') run.outcome = change.outcome;
    return change.change === 'frame' && run.push(change.frame, change.thread);
  }

  get running() { return this.all.filter((run) => run.outcome == null); }
  /** The longest run, in seconds: all have the same axis. */
  get longest() { return Math.max(WINDOW, ...this.all.map((run) => run.at)); }
}
