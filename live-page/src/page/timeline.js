// Draws a thread on a canvas: the last ten seconds, the whole run, and the workflows that wait.

import { WINDOW } from './runs.js';

/** The colours of the theme, read from the style sheet. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ['ink', 'soft', 'grid', 'box', 'blocked', 'busy', 'hatch', 'free'];
  const found = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  found.runs = [0, 1, 2, 3, 4, 5].map((i) => style.getPropertyValue(`--run-${i}`).trim());
  return found;
}

/** An empty canvas in the size that it has on the page; null while it has none. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Stripes, so that colour is not the only sign of busy. */
function hatched(context, colour) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const brush = tile.getContext('2d');
  brush.fillStyle = colour.busy;
  brush.fillRect(0, 0, 8, 8);
  brush.strokeStyle = colour.hatch;
  brush.lineWidth = 1.5;
  brush.beginPath();
  for (const x of [-8, 0, 8]) {
    brush.moveTo(x, 8);
    brush.lineTo(x + 8, 0);
  }
  brush.stroke();
  return context.createPattern(tile, 'repeat');
}

/** The ten seconds before `end`. */
export function drawTimeline(canvas, run, end, colour) {
  const drawn = prepare(canvas);
  if (!drawn) return;
  const { context, width, height } = drawn;
  const from = end - WINDOW;
  const x = (at) => ((at - from) / WINDOW) * width;
  // A line each second.
  context.fillStyle = colour.grid;
  for (let second = Math.ceil(from); second <= end; second++) context.fillRect(Math.round(x(second)), 0, 1, height);
  // Free, where it is known; what ran is drawn over it.
  const known = x(Math.max(from, run.threadFrom, 0));
  context.fillStyle = colour.free;
  context.fillRect(known, height - 5, width - known, 5);
  const seen = run.thread.filter((segment) => segment[1] > from && segment[0] < end);
  const block = (segment, top, fill) => {
    const left = Math.max(x(segment[0]), 0);
    const right = Math.min(x(segment[1]), width);
    context.fillStyle = fill;
    // Two that follow each other closely stay two. One that is shorter than a pixel is as faint as it is short: a
    // whole pixel for each poll of a millisecond would show a thread that is free as one that is blocked.
    context.fillRect(left, top, right - left - (right - left > 3 ? 1 : 0), height - top);
  };
  const stripes = hatched(context, colour);
  for (const segment of seen) if (segment[2] === 'busy') block(segment, height / 2, stripes);
  for (const segment of seen) if (segment[2] !== 'busy') block(segment, 0, colour.blocked);
}

/** All of the run, on an axis of `longest` seconds, with a frame around the ten seconds before `end`. */
export function drawStrip(canvas, run, end, longest, colour) {
  const drawn = prepare(canvas);
  if (!drawn) return;
  const { context, width, height } = drawn;
  const parts = Math.max(1, Math.floor(width / 3));
  const [blocked, any] = run.parts(longest, parts);
  const x = (at) => (at / longest) * width;
  context.fillStyle = colour.free;
  context.fillRect(x(run.threadFrom), height - 3, x(run.at) - x(run.threadFrom), 3);
  for (let i = 0; i < parts; i++) {
    const bar = (share, fill) => {
      context.fillStyle = fill;
      context.fillRect(i * 3, height * (1 - share), 3, height * share);
    };
    if (any[i] > 0) bar(Math.min(any[i], 1), colour.busy);
    if (blocked[i] > 0) bar(Math.min(blocked[i], 1), colour.blocked);
  }
  context.strokeStyle = colour.ink;
  context.lineWidth = 1.5;
  const left = Math.max(x(end - WINDOW), 0);
  context.strokeRect(left + 1, 1, Math.max(x(Math.min(end, longest)) - left - 2, 2), height - 2);
}

/** A square for each workflow: filled if it has completed. Sets the canvas' height. */
export function drawDots(canvas, run, colour) {
  const { workflows } = run;
  const done = run.last?.workflows_done ?? 0;
  const isBar = workflows > 400;
  const step = 12;
  const room = Math.max(1, Math.floor((canvas.clientWidth + 2) / step));
  const columns = [100, 50, 25, 20, 10].find((columns) => columns <= room) ?? room;
  const rows = isBar ? 1 : Math.ceil(workflows / columns);
  canvas.style.height = `${rows * step}px`;
  const drawn = prepare(canvas);
  if (!drawn) return;
  const { context, width } = drawn;
  context.fillStyle = colour.free;
  context.strokeStyle = colour.soft;
  context.lineWidth = 1;
  if (isBar) {
    context.fillRect(0, 0, width * Math.min(done / workflows, 1), step - 2);
    context.strokeRect(0.5, 0.5, width - 1, step - 3);
    return;
  }
  for (let i = 0; i < workflows; i++) {
    const [left, top] = [(i % columns) * step, Math.floor(i / columns) * step];
    if (i < done) context.fillRect(left, top, 10, 10);
    else context.strokeRect(left + 0.5, top + 0.5, 9, 9);
  }
}
