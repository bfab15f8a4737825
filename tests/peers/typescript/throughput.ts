// How long a payload takes to encrypt and to decrypt.

import { isDeepStrictEqual } from 'node:util';
import type { Payload } from '@temporalio/common';
import { Encrypting } from './codec';

// How many payloads a call has, and how many bytes a payload.
const CALLS = [
  [1, 64],
  [1, 1 << 10],
  [1, 64 << 10],
  [1, 1 << 20],
  [100, 1 << 10],
];
// The clock is read once for at least that many bytes.
const BATCH = 64 << 10;
const WARM_UP = 500; // milliseconds
const SAMPLE = 100; // milliseconds
const SAMPLES = 5;

/**
 * Prints a line for each sample: name, operation, payloads in a call, bytes in a payload, microseconds for a payload.
 */
export async function throughput() {
  const codec = await Encrypting.create();
  for (const [count, bytes] of CALLS) {
    const plain: Payload[] = Array.from({ length: count }, () => ({
      metadata: { encoding: Buffer.from('json/plain') },
      data: Buffer.alloc(bytes, 'x'),
    }));
    const sealed = await codec.encode(plain);
    const opened = await codec.decode(sealed);
    const texts = [plain, opened].map((payloads) => payloads.map(({ data }) => Buffer.from(data ?? []).toString()));
    if (!isDeepStrictEqual(texts[0], texts[1])) throw new Error('what was decrypted is not what was encrypted');
    await measure('encrypt', bytes, plain, (payloads) => codec.encode(payloads));
    await measure('decrypt', bytes, sealed, (payloads) => codec.decode(payloads));
  }
}

async function measure(
  operation: string,
  bytes: number,
  payloads: Payload[],
  call: (payloads: Payload[]) => Promise<Payload[]>,
) {
  const inBatch = Math.max(1, Math.floor(BATCH / (bytes * payloads.length)));
  const sample = async (atLeast: number) => {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < atLeast) {
      for (let calls = 0; calls < inBatch; calls++) await call(payloads);
      count += inBatch * payloads.length;
    }
    return (1000 * (performance.now() - start)) / count;
  };
  await sample(WARM_UP);
  for (let samples = 0; samples < SAMPLES; samples++) {
    const time = await sample(SAMPLE);
    console.log(['TypeScript', operation, payloads.length, bytes, time].join('\t'));
  }
}
