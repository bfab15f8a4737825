package main

import (
	"context"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// callerName is the name of the header.
const callerName = "caller"

// callerKey is where a context holds who calls.
type callerKey struct{}

// caller propagates a header that names who calls, as tracing does: a client sends it, and a workflow reads it.
type caller struct{}

func (caller) Inject(ctx context.Context, header workflow.HeaderWriter) error {
	name, ok := ctx.Value(callerKey{}).(string)
	if !ok {
		return nil
	}
	payload, err := converter.GetDefaultDataConverter().ToPayload(name)
	if err != nil {
		return err
	}
	header.Set(callerName, payload)
	return nil
}

func (caller) ExtractToWorkflow(ctx workflow.Context, header workflow.HeaderReader) (workflow.Context, error) {
	payload, ok := header.Get(callerName)
	if !ok {
		return ctx, nil
	}
	var name string
	if err := converter.GetDefaultDataConverter().FromPayload(payload, &name); err != nil {
		return nil, err
	}
	return workflow.WithValue(ctx, callerKey{}, name), nil
}

// InjectFromWorkflow does nothing: the workflows here send no header.
func (caller) InjectFromWorkflow(workflow.Context, workflow.HeaderWriter) error { return nil }

// Extract does nothing: the activities here read no header.
func (caller) Extract(ctx context.Context, _ workflow.HeaderReader) (context.Context, error) {
	return ctx, nil
}
