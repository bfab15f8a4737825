// The live page: what comes in, when it is drawn, and what the page says of itself.
//
// It shares the machine with the worker that it shows. So it draws at most four times a second, and nothing while
// its tab is hidden.

import { Cards, headline } from './cards.js';
import { Charts } from './charts.js';
import { connect } from './connection.js';
import { Runs } from './runs.js';
import { colours } from './timeline.js';
import { counted, percent, setText } from './words.js';

/** Between two drawings of the timelines, and between two of everything else. */
const TICK = 250;
const FULL = 500;
/** A screen reader is given a sentence this often at most. */
const SUMMARY = 10_000;

const runs = new Runs();
const theme = { colour: colours() };
const still = matchMedia('(prefers-reduced-motion: reduce)');
const cards = new Cards(() => changed());
const charts = new Charts(theme, () => changed());
const status = document.getElementById('status');

let connection = 'connecting';
let isDirty = true;
let timer = null;
let fullAt = -Infinity;
let summaryAt = -Infinity;
let summaryTimer = null;

/** Something is to be drawn. */
function changed() {
  isDirty = true;
  schedule();
}

function schedule() {
  if (timer == null && !document.hidden) timer = setTimeout(tick, TICK);
}

function tick() {
  timer = null;
  if (document.hidden) return;
  const now = performance.now();
  const isMoving = !still.matches && connection === 'open'
    && runs.running.some((run) => run.view == null && now - run.cameAt < 2000);
  if (isDirty || isMoving) {
    const isFull = isDirty && now - fullAt >= FULL - TICK / 2;
    cards.draw(runs, theme.colour, (run) => endOf(run, now), isFull);
    if (isFull) {
      charts.draw(runs);
      say();
      isDirty = false;
      fullAt = now;
    }
  }
  if (isDirty || isMoving) schedule();
}

/** Where the ten seconds of a run end. A moving timeline is one frame behind, so that it never runs ahead of what is
 * known. */
function endOf(run, now) {
  if (run.view != null) return run.view;
  const before = run.frames.at(-2);
  if (still.matches || run.outcome != null || !before) return run.at;
  const gap = Math.min(run.at - before.at, 1);
  return run.at - gap + Math.min((now - run.cameAt) / 1000, gap);
}

function sentence() {
  const running = runs.running.at(-1);
  switch (connection) {
    case 'connecting': return ['connecting', 'Connecting.'];
    case 'lost': return ['lost', 'Connection lost. Trying again. This page keeps what it has.'];
    case 'over': return ['over', 'The run is over. This page keeps what it has.'];
  }
  if (runs.all.length === 0) return ['waiting', 'Connected. Waiting for the first run.'];
  if (!running) return ['finished', 'Finished. Waiting for the next run.'];
  return ['running', `Running: ${running.name}, ${running.at.toFixed(0)} s`];
}

/** The heading, the status, the tab's title, and the summary. */
function say() {
  const [state, text] = sentence();
  status.dataset.state = state;
  setText(document.getElementById('status-text'), text);
  setText(document.getElementById('heading'), runs.heading || 'Unblock, live');
  const shown = runs.running.at(-1) ?? runs.all.at(-1);
  const figure = shown ? headline(shown) : null;
  document.title = figure ? `${percent(figure.share)} ${shown.isMeasured ? 'blocked' : 'busy'}: ${shown.name}` : runs.heading || 'Unblock, live';
  summarise(() => (figure
    ? `${text} ${shown.name}: thread ${percent(figure.share)} ${figure.what} ${figure.span}. ${counted(shown.last?.workflows_done ?? 0, 'workflow', 'workflows')} done.`
    : text));
}

function summarise(text) {
  clearTimeout(summaryTimer);
  const wait = summaryAt + SUMMARY - performance.now();
  if (wait > 0) {
    summaryTimer = setTimeout(() => say(), wait);
    return;
  }
  summaryAt = performance.now();
  setText(document.getElementById('summary'), text());
}

function became(state) {
  connection = state;
  say();
  changed();
}

const refresh = connect({
  snapshot(data) {
    runs.snapshot(data);
    cards.match(runs);
    became('open');
  },
  change(data) {
    const isTooMuch = runs.change(data);
    if (data.change === 'start') cards.match(runs);
    if (isTooMuch) refresh();
    changed();
  },
  lost() { became('lost'); },
  over() { became('over'); },
});

document.addEventListener('visibilitychange', changed);
still.addEventListener('change', changed);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  theme.colour = colours();
  charts.redraw();
  changed();
});
new ResizeObserver(changed).observe(document.getElementById('cards'));
