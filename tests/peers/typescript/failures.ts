// The SDK loads this file by its path, because it converts failures in the workflows' sandbox, too.

import { DefaultFailureConverter } from '@temporalio/common';

/** Messages and stack traces of failures are encrypted, too. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
