package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The names, the JSON and the texts here are those of greeting/src/workflows.rs.

const failsOnPurpose = "the activity failed on purpose"

type greetingInput struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Activities      *int     `json:"activities,omitempty"`       // nil: 10
	ActivitySeconds *float64 `json:"activity_seconds,omitempty"` // nil: 0.5
	Failing         string   `json:"failing,omitempty"`          // "once" or "for_good"
}

func (input greetingInput) activities() int {
	if input.Activities == nil {
		return 10
	}
	return *input.Activities
}

func (input greetingInput) result() string {
	return fmt.Sprintf("Greeted %s %d times", input.Name, input.activities())
}

type composeGreetingInput struct {
	Greeting string   `json:"greeting"`
	Name     string   `json:"name"`
	Seconds  *float64 `json:"seconds,omitempty"` // nil: 0.5
	Failing  string   `json:"failing,omitempty"`
}

func (input composeGreetingInput) seconds() float64 {
	if input.Seconds == nil {
		return 0.5
	}
	return *input.Seconds
}

func (input composeGreetingInput) details() string {
	return fmt.Sprintf("%s, %s, not today", input.Greeting, input.Name)
}

func composeGreeting(ctx context.Context, input composeGreetingInput) (string, error) {
	forGood := input.Failing == "for_good"
	if forGood || input.Failing == "once" && activity.GetInfo(ctx).Attempt == 1 {
		return "", temporal.NewApplicationErrorWithOptions(failsOnPurpose, "", temporal.ApplicationErrorOptions{
			NonRetryable:   forGood,
			NextRetryDelay: 50 * time.Millisecond,
			Details:        []any{input.details()},
		})
	}
	seconds := input.seconds()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	}
	// Rust writes 1.0 as 1.
	text := strconv.FormatFloat(seconds, 'f', -1, 64)
	return fmt.Sprintf("%s, %s, after %s seconds of work!", input.Greeting, input.Name, text), nil
}

func greetingWorkflow(ctx workflow.Context, input greetingInput) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 20 * time.Second})
	each := composeGreetingInput{"Hello", input.Name, input.ActivitySeconds, input.Failing}
	for range input.activities() {
		if err := workflow.ExecuteActivity(ctx, "compose_greeting", each).Get(ctx, nil); err != nil {
			return "", err
		}
	}
	return input.result(), nil
}
