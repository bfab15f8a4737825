import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import type * as activities from './activities';
import { activitiesOf, type GreetingInput, REFUSED, resultOf, type Text } from './greeting';

const { compose_greeting } = proxyActivities<typeof activities>({ startToCloseTimeout: '20s' });

export async function GreetingWorkflow(input: GreetingInput): Promise<string> {
  const { name, activity_seconds: seconds, failing } = input;
  for (let done = 0; done < activitiesOf(input); done++) {
    await compose_greeting({ greeting: 'Hello', name, seconds, failing });
  }
  return resultOf(input);
}

/** Takes signals, updates and queries. Each has a text, or null. */
export async function MessagesWorkflow(first: Text): Promise<Text[]> {
  const held: Text[] = [];
  let hasEnded = false;
  const validator = (text: Text) => {
    if (text === REFUSED) throw ApplicationFailure.create({ message: REFUSED });
  };
  setHandler(defineSignal<[Text]>('add'), (text) => void held.push(text));
  setHandler(defineSignal<[Text]>('end'), (text) => {
    held.push(text);
    hasEnded = true;
  });
  setHandler(defineQuery<number, [Text]>('count'), (text) => held.filter((each) => each === text).length);
  const replace = (text: Text) => held.splice(-1, 1, text)[0];
  setHandler(defineUpdate<Text, [Text]>('replace'), replace, { validator });
  await condition(() => hasEnded);
  return [first, ...held];
}
