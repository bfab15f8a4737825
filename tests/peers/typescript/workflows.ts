import { proxyActivities } from '@temporalio/workflow';
import type * as activities from './activities';
import { activitiesOf, type GreetingInput, resultOf } from './greeting';

const { compose_greeting } = proxyActivities<typeof activities>({ startToCloseTimeout: '20s' });

export async function GreetingWorkflow(input: GreetingInput): Promise<string> {
  const { name, activity_seconds: seconds, failing } = input;
  for (let done = 0; done < activitiesOf(input); done++) {
    await compose_greeting({ greeting: 'Hello', name, seconds, failing });
  }
  return resultOf(input);
}
