package main

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// encrypted converts with this codec. Workflow code that waits in it for over a second fails its workflow task.
func encrypted(codec converter.PayloadCodec) converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
}

// mayWait does the same, and the time spent in the codec does not count as workflow code's.
func mayWait(codec converter.PayloadCodec) converter.DataConverter {
	return workflow.DataConverterWithoutDeadlockDetection(encrypted(codec))
}
