// The workflows of `worker.mjs`. The state comes with the name of the task queue's bundle: it is replaced
// in this text before it is bundled.
import { proxyActivities, sleep, workflowInfo } from '@temporalio/workflow';

const STATE = '__STATE__';
const { compose, export: exportTo } = proxyActivities({ startToCloseTimeout: '5 minutes' });
const aboutActivities = STATE === 'slow-activities' || STATE === 'stuck-activities';

function compute(rounds) {
  // Date.now() does not move in workflow code, so rounds are counted.
  let x = 1;
  for (let i = 0; i < rounds; i++) x = (x * 1103515245 + 12345) % 2147483648;
  return x;
}

/** Two activities, one after the other. */
export async function Greeting(name) {
  if (STATE === 'computes') compute(2e6);
  if (STATE === 'nondeterministic' && workflowInfo().unsafe.isReplaying) await sleep(1000);
  let text = await compose(name);
  if (STATE === 'computes') compute(2e6);
  if (aboutActivities) return text;
  if (STATE === 'too-large') return 'x'.repeat(5_000_000);
  if (STATE === 'tiny-cache') {
    for (let i = 0; i < 3; i++) {
      await sleep(1000);
      text = await compose(name);
    }
  }
  return await exportTo(text);
}

/** No activity, unless the state is about activities. */
export async function Quick(name) {
  if (aboutActivities) await exportTo(name);
  if (STATE === 'computes') compute(2e6);
  return name;
}
