// A client and a worker in TypeScript for the other half in Rust. tests/live/peers.rs runs each of these:
//
// peer client ADDRESS QUEUE                starts workflows on the Rust worker, and checks what they return
// peer remote ADDRESS QUEUE CODEC_SERVER   the same, with a codec server that encrypts and decrypts
// peer messages ADDRESS QUEUE CODEC_SERVER sends messages and a header through the codec server
// peer worker ADDRESS QUEUE                runs workflows that the Rust starter starts, until it is stopped
//
// tests/peers/throughput.sh runs this:
//
// peer throughput                          measures how fast the codec is

import { isDeepStrictEqual } from 'node:util';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure, type DataConverter, type PayloadCodec } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities';
import { namesCaller } from './caller';
import { Encrypting, Remote } from './codec';
import { detailsOf, FAILS_ON_PURPOSE, type GreetingInput, resultOf } from './greeting';
import { NOTE, send } from './messages';
import { throughput } from './throughput';

const USAGE = `usage: peer client ADDRESS QUEUE
       peer remote ADDRESS QUEUE CODEC_SERVER
       peer messages ADDRESS QUEUE CODEC_SERVER
       peer worker ADDRESS QUEUE
       peer throughput`;

// The last one is 1 MiB.
const NAMES = ['World', 'Žofie 王小明 🦀', '', 'x'.repeat(1 << 20)];

/** Starts a workflow for each name and one that fails, and returns their ids. */
async function start(client: Client, queue: string, prefix: string): Promise<string[]> {
  const load = { activities: 2, activity_seconds: 0.1 };
  const inputs: GreetingInput[] = NAMES.map((name, number) => ({ id: `${number}`, name, ...load }));
  inputs.push({ id: 'fails', name: 'World', ...load, failing: 'for_good' });

  const run = async (input: GreetingInput) => {
    const handle = await client.workflow.start('GreetingWorkflow', {
      args: [input],
      taskQueue: queue,
      workflowId: `${prefix}-${input.id}`,
    });
    const result = await handle.result().catch(failure);
    const expected = input.failing ? [FAILS_ON_PURPOSE, detailsOf('Hello', input.name)] : resultOf(input);
    if (!isDeepStrictEqual(result, expected)) {
      const [got, not] = [result, expected].map((value) => JSON.stringify(value).slice(0, 200));
      throw new Error(`${handle.workflowId} returned ${got}, not ${not}`);
    }
    return handle.workflowId;
  };
  return Promise.all(inputs.map(run));
}

/** The message and the details of an activity's own failure, within the activity's and the workflow's. */
function failure(error: unknown): unknown[] {
  if (error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure) {
    const { cause } = error.cause;
    if (cause instanceof ApplicationFailure) return [cause.message, ...(cause.details ?? [])];
  }
  throw error;
}

async function work(address: string, taskQueue: string, dataConverter: DataConverter) {
  const connection = await NativeConnection.connect({ address });
  const workflowsPath = require.resolve('./workflows');
  const interceptors = { workflowModules: [require.resolve('./caller')] };
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowsPath,
    activities,
    dataConverter,
    interceptors,
  });
  await worker.run();
}

function withCodec(codec: PayloadCodec): DataConverter {
  return { payloadCodecs: [codec], failureConverterPath: require.resolve('./failures') };
}

async function main(words: string[]) {
  const [does, address, queue, url] = words;
  if (does === 'worker' && words.length === 3) {
    return work(address, queue, withCodec(await Encrypting.create()));
  }
  if (does === 'throughput' && words.length === 1) return throughput();
  let codec: PayloadCodec;
  if (does === 'client' && words.length === 3) codec = await Encrypting.create();
  else if ((does === 'remote' || does === 'messages') && words.length === 4) codec = new Remote(url);
  else {
    console.error(USAGE);
    process.exit(2);
  }
  const limit = setTimeout(() => fail('the workflows were not done within two minutes'), 120_000);
  const connection = await Connection.connect({ address });
  const interceptors = { workflow: does === 'messages' ? [namesCaller(NOTE)] : [] };
  const client = new Client({ connection, dataConverter: withCodec(codec), interceptors });
  const ids = does === 'messages' ? [await send(client, queue)] : await start(client, queue, does);
  await connection.close();
  clearTimeout(limit);
  // The last line of stdout.
  console.log(JSON.stringify(ids));
}

function fail(error: unknown) {
  console.error(error);
  process.exit(1);
}

main(process.argv.slice(2)).catch(fail);
