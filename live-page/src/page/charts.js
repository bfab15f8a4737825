// What the work has to wait for: a chart for each number, a line in it for each run.

import { dash, swatch } from './cards.js';
import { count, duration, element, setText, table } from './words.js';

const LEAST = 0.001;

const CHARTS = [
  { key: 'lag_worker', isTime: true, title: "Lag of the worker's main task",
    text: 'How late a 10 ms timer fires inside the task that runs the worker. Healthy: milliseconds.' },
  { key: 'lag_beside', isTime: true, title: 'Lag of a separate task',
    text: 'How late the same timer fires in another task of the same runtime. Healthy: milliseconds.' },
  { key: 'schedule_to_start_p95', isTime: true, title: 'Workflow task schedule-to-start, p95',
    text: 'How long a workflow task waits on the server until the worker takes it. Healthy: milliseconds.' },
  { key: 'end_to_end_p95', isTime: true, title: 'End-to-end latency, p95',
    text: 'How long a workflow takes from its start to its result. Healthy: little more than its activities take.' },
  { key: 'workflows_done', title: 'Workflows done',
    text: 'How many workflows have completed so far. Healthy: a steep line up to the number that was started.' },
  { key: 'not_found', title: 'Answers too late',
    text: 'Workflow tasks that the worker answered after their timeout, so far. Healthy: none.' },
  { key: 'calls_in_flight', title: 'Codec calls in flight',
    text: 'Codec calls that wait at the same time. Healthy: many under load. Never more than one: they wait one after another.' },
  { key: 'blocking_threads', title: 'Threads of the blocking pool',
    text: "Threads that spawn_blocking has started. Healthy: few, and far from the pool's limit." },
];

const shown = (chart, value) => (chart.isTime ? duration(value) : count(value));

/** The top of the axis of all times: a power of ten. */
function topOfTimes(runs) {
  let most = 10;
  for (const chart of CHARTS.filter((chart) => chart.isTime)) {
    for (const run of runs.all) for (const frame of run.frames) if (frame[chart.key] > most) most = frame[chart.key];
  }
  return 10 ** Math.ceil(Math.log10(most));
}

class Chart {
  constructor(spec, theme, changed) {
    this.spec = spec;
    this.theme = theme;
    const made = document.getElementById('chart').content.firstElementChild.cloneNode(true);
    const find = (selector) => made.querySelector(selector);
    find('figcaption').textContent = spec.title;
    find('.soft').textContent = spec.text;
    find('summary').append('Numbers', element('span', 'unseen', `: ${spec.title}`));
    Object.assign(this, { root: made, plot: find('.plot'), latest: find('.latest'), details: find('details') });
    this.details.addEventListener('toggle', changed);
    this.isSeen = true;
    this.runs = null;
    this.top = 10;
    this.end = 10;
  }

  /** The lines of other runs: made again. */
  #make(runs) {
    this.uplot?.destroy();
    const { spec, theme } = this;
    const axis = { font: '12px system-ui, sans-serif', stroke: () => theme.colour.soft, ticks: { show: false } };
    const grid = { stroke: () => theme.colour.grid, width: 1 };
    const times = [];
    for (let at = LEAST; at < 1e6; at *= 10) times.push(at);
    this.uplot = new uPlot({
      width: Math.max(this.plot.clientWidth, 100),
      height: this.plot.clientHeight || 176,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync: { key: 'time' } },
      padding: [8, 12, 0, 0],
      scales: {
        x: { time: false, range: () => [0, this.end] },
        y: spec.isTime ? { distr: 3, range: () => [LEAST, this.top] } : { range: (_, __, most) => [0, Math.max(10, (most ?? 0) * 1.08)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 30, gap: 8, space: 60, values: (_, all) => all.map((at) => `${at} s`) },
        { ...axis, grid, size: 58, gap: 6,
          ...(spec.isTime
            ? { splits: () => times.filter((at) => at <= this.top * 1.01), filter: (_, all) => all, values: (_, all) => all.map((at) => (at < 0.9 ? `${Math.round(at * 1000)} ms` : `${Math.round(at)} s`)) }
            : { incrs: [1, 2, 5].flatMap((n) => [n, n * 10, n * 100, n * 1e3, n * 1e4, n * 1e5, n * 1e6]).sort((a, b) => a - b), space: 34, values: (_, all) => all.map(count) }) },
      ],
      series: [{}, ...runs.all.map((run) => ({ stroke: () => theme.colour.runs[run.run % 6], width: 2, dash: dash(run), points: { show: false } }))],
      hooks: { setCursor: [() => this.#readings()] },
    }, this.#data(runs), this.plot);
    this.chips = runs.all.map((run) => {
      const chip = element('span');
      const value = element('b');
      chip.append(swatch(run), element('span', '', run.name), value);
      return { chip, value };
    });
    this.moment = element('span');
    this.latest.replaceChildren(...this.chips.map(({ chip }) => chip), this.moment);
  }

  #data(runs) {
    const floor = (value) => (value != null && this.spec.isTime ? Math.max(value, LEAST) : value ?? null);
    return uPlot.join(runs.all.map((run) => [
      run.frames.map((frame) => frame.at),
      run.frames.map((frame) => floor(frame[this.spec.key])),
    ]));
  }

  /** The latest numbers, or those where the pointer is. */
  #readings() {
    if (!this.uplot || !this.chips) return;
    const index = this.uplot.cursor.idx;
    const at = index == null ? null : this.uplot.data[0][index];
    this.runs.all.forEach((run, i) => {
      const frame = at == null ? run.last : run.frames.findLast((frame) => frame.at <= at + 1e-9);
      const isPast = at != null && at > run.at;
      setText(this.chips[i].value, isPast ? '–' : shown(this.spec, frame?.[this.spec.key]));
    });
    setText(this.moment, at == null ? '' : `at ${at.toFixed(1)} s`);
  }

  draw(runs, top) {
    this.end = runs.longest;
    this.top = top;
    const names = runs.all.map((run) => `${run.run} ${run.name}`).join('\n');
    const isNew = names !== this.names;
    this.runs = runs;
    if (isNew) {
      this.names = names;
      this.#make(runs);
    } else if (this.isSeen) {
      this.uplot.setData(this.#data(runs));
    }
    this.#readings();
    const latest = runs.all.map((run) => `${run.name} ${shown(this.spec, run.last?.[this.spec.key])}`).join(', ');
    this.plot.setAttribute('aria-label', `${this.spec.title}, latest: ${latest}`);
    if (this.details.open) this.#table(runs);
  }

  #table(runs) {
    const rows = runs.all.map((run) => {
      let highest = null;
      for (const frame of run.frames) {
        const value = frame[this.spec.key];
        if (value != null && (!highest || value > highest[this.spec.key])) highest = frame;
      }
      return [run.name, shown(this.spec, run.last?.[this.spec.key]), shown(this.spec, highest?.[this.spec.key]), highest ? `${highest.at.toFixed(1)} s` : '–'];
    });
    const head = ['Run', 'Latest', 'Highest', 'Highest at'];
    this.details.querySelector('.scroll').replaceChildren(table(this.spec.title, head, rows));
  }

  resize() {
    if (this.uplot && this.plot.clientWidth) this.uplot.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight });
  }
}

export class Charts {
  #charts;
  #root = document.getElementById('effects');

  /** `theme.colour` holds the colours; `changed` asks for a drawing. */
  constructor(theme, changed) {
    this.#charts = CHARTS.map((spec) => new Chart(spec, theme, changed));
    document.getElementById('charts').append(...this.#charts.map((chart) => chart.root));
    const resized = new ResizeObserver(() => this.#charts.forEach((chart) => chart.resize()));
    resized.observe(document.getElementById('charts'));
    // A chart outside the window is not drawn.
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) this.#charts.find((chart) => chart.plot === entry.target).isSeen = entry.isIntersecting;
      changed();
    });
    this.#charts.forEach((chart) => seen.observe(chart.plot));
  }

  draw(runs) {
    this.#root.hidden = runs.all.length === 0;
    if (runs.all.length === 0) return;
    const top = topOfTimes(runs);
    for (const chart of this.#charts) chart.draw(runs, top);
  }

  redraw() {
    for (const chart of this.#charts) chart.uplot?.redraw(false);
  }
}
