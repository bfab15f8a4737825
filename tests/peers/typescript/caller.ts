// A header that names who calls, as tracing has one: a client sends it, and a workflow reads it. The worker loads this
// file into the workflows' sandbox.

import type { WorkflowClientInterceptor } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { defineQuery, setHandler, type WorkflowInterceptorsFactory } from '@temporalio/workflow';

const CALLER = 'caller';

/** Sends the header with each workflow that is started. */
export const namesCaller = (name: string): WorkflowClientInterceptor => ({
  startWithDetails(input, next) {
    const headers = { ...input.headers, [CALLER]: defaultPayloadConverter.toPayload(name) };
    return next({ ...input, headers });
  },
});

/** Lets each workflow answer who called it. */
export const interceptors: WorkflowInterceptorsFactory = () => ({
  inbound: [
    {
      execute(input, next) {
        const header = input.headers[CALLER];
        const name = header && defaultPayloadConverter.fromPayload<string>(header);
        setHandler(defineQuery<string | undefined>('caller'), () => name);
        return next(input);
      },
    },
  ],
});
