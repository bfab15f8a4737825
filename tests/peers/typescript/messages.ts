// Signals, updates, queries, a memo and a header, between a client and a worker of which one is in Rust.

import { isDeepStrictEqual } from 'node:util';
import { type Client, WorkflowUpdateFailedError } from '@temporalio/client';
import { REFUSED, type Text } from './greeting';

export const NOTE = 'Žofie 王小明 🦀';
const MEMO = { note: NOTE, empty: '', nil: null };
// The server stores at most 2 MiB in a payload.
const LONG = 'x'.repeat(1_900_000);

/** Sends all kinds of messages to a workflow, checks the answers, and returns its id. */
export async function send(client: Client, taskQueue: string): Promise<string> {
  const options = { args: [null], taskQueue, workflowId: 'messages', memo: MEMO };
  const handle = await client.workflow.start('MessagesWorkflow', options);
  for (const text of ['', null, LONG]) await handle.signal('add', text);
  const replace = (text: Text) => handle.executeUpdate<Text, [Text]>('replace', { args: [text] });
  expect(await replace('World'), LONG);
  const refused = (error: unknown) => error instanceof WorkflowUpdateFailedError && error.cause?.message;
  expect(await replace(REFUSED).catch(refused), REFUSED);
  for (const [text, count] of [['', 1], [null, 1], [LONG, 0]] as const) {
    expect(await handle.query<number, [Text]>('count', text), count);
  }
  expect(await handle.query<string>('caller'), NOTE);
  expect((await handle.describe()).memo, MEMO);
  await handle.signal('end', NOTE);
  expect(await handle.result(), [null, '', null, 'World', NOTE]);
  return handle.workflowId;
}

function expect(got: unknown, expected: unknown) {
  if (!isDeepStrictEqual(got, expected)) {
    const [came, not] = [got, expected].map((value) => JSON.stringify(value).slice(0, 200));
    throw new Error(`${came} came back, not ${not}`);
  }
}
