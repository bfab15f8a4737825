import { ApplicationFailure, activityInfo, sleep } from '@temporalio/activity';
import { type ComposeGreetingInput, detailsOf, FAILS_ON_PURPOSE } from './greeting';

export async function compose_greeting(given: ComposeGreetingInput): Promise<string> {
  const { greeting, name, seconds = 0.5, failing } = given;
  if (failing === 'for_good' || (failing === 'once' && activityInfo().attempt === 1)) {
    throw ApplicationFailure.create({
      message: FAILS_ON_PURPOSE,
      details: [detailsOf(greeting, name)],
      nonRetryable: failing === 'for_good',
      nextRetryDelay: '50ms',
    });
  }
  await sleep(seconds * 1000);
  return `${greeting}, ${name}, after ${seconds} seconds of work!`;
}
