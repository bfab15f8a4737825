// A small worker whose state is chosen by a flag. `record.py` runs it and records its metrics.
import { parseArgs } from 'node:util';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: {
    address: { type: 'string' },
    metrics: { type: 'string' },
    state: { type: 'string', default: 'healthy' },
    'task-queue': { type: 'string', default: 'check-worker' },
    'counters-total': { type: 'boolean', default: false },
    'unit-suffix': { type: 'boolean', default: false },
    seconds: { type: 'boolean', default: false },
    'no-prefix': { type: 'boolean', default: false },
  },
});
const { state } = flags;
const later = (ms) => new Promise((done) => setTimeout(done, ms));

function block(ms) {
  // As a synchronous call to a key service does.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function wait() {
  if (state === 'held' && Math.random() < 0.1) block(400);
  if (state === 'held-often') block(100);
  if (state === 'awaited') await later(400);
  if (state === 'awaited-rare' && Math.random() < 0.1) await later(400);
  if (state === 'awaited-jitter') await later(-200 * Math.log(1 - Math.random()));
}

const reversed = (bytes) => Uint8Array.from(bytes).reverse();
const mark = new TextEncoder().encode('reversed');

/** Reverses the bytes, and keeps the metadata beside them. */
const codec = {
  async encode(payloads) {
    await wait();
    return payloads.map((p) => ({
      metadata: { ...p.metadata, codec: mark },
      data: p.data ? reversed(p.data) : p.data,
    }));
  },
  async decode(payloads) {
    await wait();
    return payloads.map((p) => {
      if (!p.metadata?.codec) return p;
      const { codec: _, ...metadata } = p.metadata;
      return { metadata, data: p.data ? reversed(p.data) : p.data };
    });
  },
};

Runtime.install({
  telemetryOptions: {
    noTemporalPrefixForMetrics: flags['no-prefix'],
    metrics: {
      prometheus: {
        bindAddress: flags.metrics,
        countersTotalSuffix: flags['counters-total'],
        unitSuffix: flags['unit-suffix'],
        useSecondsForDurations: flags.seconds,
      },
    },
  },
});

const activities = {
  async compose(name) {
    await later(state === 'few-activity-slots' ? 300 : 20);
    return `Hello, ${name}`;
  },
  async export(name) {
    if (state === 'stuck-activities') await new Promise(() => {});
    await later(state === 'slow-activities' ? 20_000 : 5);
    return name;
  },
};

// Workflows run in a sandbox that sees no flags: they get the state in their text.
const folder = mkdtempSync(join(here, 'node_modules/.state-'));
writeFileSync(join(folder, 'workflows.mjs'), readFileSync(join(here, 'workflows.mjs'), 'utf8').replace('__STATE__', state));
const connection = await NativeConnection.connect({ address: flags.address });
const worker = await Worker.create({
  connection,
  taskQueue: flags['task-queue'],
  workflowsPath: join(folder, 'workflows.mjs'),
  activities,
  dataConverter: { payloadCodecs: [codec] },
  ...(state === 'few-slots' && { maxConcurrentWorkflowTaskExecutions: 2 }),
  ...(state === 'few-activity-slots' && { maxConcurrentActivityTaskExecutions: 2 }),
  ...(state === 'few-pollers' && { maxConcurrentWorkflowTaskPolls: 2 }),
  ...(state === 'slow-activities' && { maxConcurrentActivityTaskExecutions: 10 }),
  ...(state === 'stuck-activities' && { maxConcurrentActivityTaskExecutions: 6 }),
  ...((state === 'tiny-cache' || state === 'nondeterministic') && { maxCachedWorkflows: 2 }),
});
rmSync(folder, { recursive: true });
await worker.run();
