// A card for each run: its thread, how much of it the codec blocked, and the workflows that wait.

import { WINDOW } from './runs.js';
import { drawDots, drawStrip, drawTimeline } from './timeline.js';
import { count, counted, duration, element, percent, setText, table } from './words.js';

const DASHES = ['', '8 4', '2 3', '10 3 2 3', '5 5', '1 4'];
/** From this share on, the figure is red. */
const BAD = 0.25;
const SVG = 'http://www.w3.org/2000/svg';

/** How the line of a run is dashed in the charts. */
export function dash(run) {
  return DASHES[run.run % DASHES.length].split(' ').filter(Boolean).map(Number);
}

/** A piece of the run's line. */
export function swatch(run) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'swatch');
  svg.setAttribute('viewBox', '0 0 26 8');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'line');
  const attributes = { x1: 0, x2: 26, y1: 4, y2: 4, stroke: `var(--run-${run.run % 6})`, 'stroke-dasharray': DASHES[run.run % 6] };
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

/** What the big figure says: a share, and of what. */
export function headline(run) {
  const end = run.view ?? run.at;
  const isWhole = run.outcome != null && run.view == null;
  const from = isWhole ? 0 : end - WINDOW;
  const shares = run.shares(from, end);
  const span = isWhole ? 'in the whole run'
    : run.view != null ? `in the 10 s up to ${end.toFixed(1)} s`
    : end < WINDOW ? `in the first ${end.toFixed(0)} s` : 'in the last 10 s';
  return run.isMeasured
    ? { share: shares.blocked, what: 'blocked by the codec', span, shares }
    : { share: shares.busy + shares.blocked, what: 'busy', span, shares };
}

class Card {
  constructor(run, changed) {
    const made = document.getElementById('card').content.firstElementChild.cloneNode(true);
    const find = (selector) => made.querySelector(selector);
    this.root = made;
    this.parts = {
      state: find('.state'), share: find('.share'), figure: find('.share strong'), what: find('.share b'), span: find('.share em'),
      timeline: find('.timeline'), ends: [...made.querySelectorAll('.ends span')], rest: find('.rest'),
      strip: find('.strip'), slider: find('input'), work: find('.work .label'), dots: find('.dots'),
    };
    find('h3').append(swatch(run), element('span', '', run.name));
    made.setAttribute('aria-label', run.name);
    this.parts.slider.setAttribute('aria-label', `${run.name}: look back`);
    this.parts.slider.addEventListener('input', () => {
      const value = Number(this.parts.slider.value);
      this.run.view = value >= this.run.at ? null : value;
      changed();
    });
    this.run = run;
  }

  /** Draws all of it. `end` is where the ten seconds end. */
  draw(end, longest, colour, isFull) {
    const { run, parts } = this;
    // A run that is finished changes only with what is around it.
    const drawn = [run.outcome, run.view, run.frames.length, longest, this.root.clientWidth, colour.ink].join();
    if (run.outcome != null && this.drawn === drawn) return;
    if (isFull) this.drawn = drawn;
    const { share, what, span, shares } = headline(run);
    setText(parts.state, run.outcome ?? `Running, ${run.at.toFixed(0)} s`);
    setText(parts.figure, percent(share));
    setText(parts.what, what);
    setText(parts.span, span);
    parts.share.classList.toggle('bad', run.isMeasured && share >= BAD);
    setText(parts.rest, !run.last ? '' : run.isMeasured
      ? `Something else ${percent(shares.busy)} · free ${percent(shares.free)} · longest block ${duration(shares.longest)}`
      : `Free ${percent(shares.free)}. Nothing measures this codec, so the page cannot tell whether the codec blocks.`);
    [end - WINDOW, end - WINDOW / 2, end].forEach((at, i) => {
      setText(parts.ends[i], at < 0 ? '' : i === 2 && run.view == null && run.outcome == null ? 'now' : `${at.toFixed(1)} s`);
    });
    drawTimeline(parts.timeline, run, end, colour);
    const label = (canvas, text) => canvas.getAttribute('aria-label') !== text && canvas.setAttribute('aria-label', text);
    label(parts.timeline, `${run.name}: thread ${percent(share)} ${what} ${span}, free ${percent(shares.free)}`);
    if (isFull) this.#drawRest(end, longest, colour, label);
  }

  /** The whole run and the workflows: twice a second is enough. */
  #drawRest(end, longest, colour, label) {
    const { run, parts } = this;
    drawStrip(parts.strip, run, end, longest, colour);
    const whole = run.shares(0, run.at);
    label(parts.strip, `${run.name}, all ${run.at.toFixed(0)} s: blocked by the codec ${percent(whole.blocked)}, something else ${percent(whole.busy)}, free ${percent(whole.free)}`);
    parts.slider.max = longest;
    if (run.view == null) parts.slider.value = run.at;
    parts.slider.setAttribute('aria-valuetext', run.view == null ? 'the end' : `${run.view.toFixed(1)} seconds`);
    const done = run.last?.workflows_done ?? 0;
    const activities = counted(run.last?.activities_done ?? 0, 'activity', 'activities');
    parts.dots.hidden = run.workflows === 0;
    if (run.workflows === 0) {
      setText(parts.work, `${counted(done, 'workflow', 'workflows')} done, ${activities}`);
      return;
    }
    const waiting = Math.max(run.workflows - done, 0);
    const workflows = waiting === 0 ? `All ${count(run.workflows)} workflows done` : `${count(done)} of ${count(run.workflows)} workflows done, ${count(waiting)} not yet`;
    const text = `${workflows}. ${activities} done.`;
    setText(parts.work, text);
    label(parts.dots, text);
    drawDots(parts.dots, run, colour);
  }
}

export class Cards {
  #cards = new Map();
  #root = document.getElementById('cards');
  #details = document.getElementById('thread-table');
  #changed;

  constructor(changed) {
    this.#changed = changed;
    this.#details.addEventListener('toggle', changed);
  }

  /** One card for each run, no more and no fewer. */
  match(runs) {
    for (const [run, card] of this.#cards) {
      if (!runs.all.some((kept) => kept.run === run && kept.name === card.run.name)) {
        card.root.remove();
        this.#cards.delete(run);
      }
    }
    for (const run of runs.all) {
      const known = this.#cards.get(run.run);
      if (known) {
        known.run = run;
        continue;
      }
      const card = new Card(run, this.#changed);
      this.#cards.set(run.run, card);
      this.#root.append(card.root);
    }
    this.#root.classList.toggle('several', runs.all.length > 1);
    this.#details.hidden = runs.all.length === 0;
    document.getElementById('empty').hidden = runs.all.length > 0;
  }

  /** `endOf(run)` is where the ten seconds of a run end. */
  draw(runs, colour, endOf, isFull) {
    for (const card of this.#cards.values()) {
      const end = endOf(card.run);
      card.draw(end, runs.longest, colour, isFull);
    }
    if (isFull && this.#details.open) this.#table(runs);
  }

  #table(runs) {
    const rows = runs.all.map((run) => {
      const { span, shares } = headline(run);
      const codec = run.isMeasured ? [percent(shares.encode), percent(shares.decode)] : ['–', '–'];
      const longest = run.isMeasured ? duration(shares.longest) : '–';
      return [`${run.name}, ${span}`, ...codec, percent(shares.busy), percent(shares.free), longest];
    });
    const head = ['Run', 'Blocked, encoding', 'Blocked, decoding', 'Something else', 'Free', 'Longest block'];
    this.#details.querySelector('.scroll').replaceChildren(table("What each run's thread did", head, rows));
  }
}
