package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// refused is what an update refuses, and the message of its failure.
const refused = "refused on purpose"

// longText is near the 2 MiB that the server stores in a payload at most.
var longText = strings.Repeat("x", 1_900_000)

// messagesWorkflow takes signals, updates and queries. Each has a text, or nil.
func messagesWorkflow(ctx workflow.Context, first *string) ([]*string, error) {
	held, hasEnded := []*string{}, false
	err := workflow.SetQueryHandler(ctx, "count", func(text *string) (count int, _ error) {
		for _, each := range held {
			if reflect.DeepEqual(each, text) {
				count++
			}
		}
		return count, nil
	})
	if err != nil {
		return nil, err
	}
	name, _ := ctx.Value(callerKey{}).(string)
	err = workflow.SetQueryHandler(ctx, "caller", func() (string, error) { return name, nil })
	if err != nil {
		return nil, err
	}
	adds, ends := workflow.GetSignalChannel(ctx, "add"), workflow.GetSignalChannel(ctx, "end")
	receive := func(c workflow.ReceiveChannel, _ bool) {
		var text *string
		c.Receive(ctx, &text)
		held = append(held, text)
	}
	replace := func(ctx workflow.Context, text *string) (*string, error) {
		// Signals that came before it are still in the channel.
		for adds.Len() > 0 {
			receive(adds, true)
		}
		last := len(held) - 1
		before := held[last]
		held[last] = text
		return before, nil
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, "replace", replace, workflow.UpdateHandlerOptions{
		Validator: func(_ workflow.Context, text *string) error {
			if text != nil && *text == refused {
				return temporal.NewApplicationError(refused, "")
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	selector := workflow.NewSelector(ctx).AddReceive(adds, receive)
	selector.AddReceive(ends, func(c workflow.ReceiveChannel, more bool) {
		receive(c, more)
		hasEnded = true
	})
	for !hasEnded {
		selector.Select(ctx)
	}
	return append([]*string{first}, held...), nil
}

// send sends all kinds of messages to a workflow, checks the answers, and prints its id as one line of JSON.
func send(ctx context.Context, c client.Client, data converter.DataConverter, queue string) error {
	empty, world, no, note := "", "World", refused, "Žofie 王小明 🦀"
	memo := map[string]*string{"note": &note, "empty": &empty, "nil": nil}
	ctx = context.WithValue(ctx, callerKey{}, note)
	options := client.StartWorkflowOptions{ID: "messages", TaskQueue: queue, Memo: map[string]any{}}
	for name, text := range memo {
		options.Memo[name] = text
	}
	run, err := c.ExecuteWorkflow(ctx, options, "MessagesWorkflow", nil)
	if err != nil {
		return err
	}
	signal := func(name string, text *string) error { return c.SignalWorkflow(ctx, run.GetID(), "", name, text) }
	for _, text := range []*string{&empty, nil, &longText} {
		if err := signal("add", text); err != nil {
			return err
		}
	}
	replace := func(text *string) (before *string, err error) {
		handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID:   run.GetID(),
			UpdateName:   "replace",
			Args:         []any{text},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err != nil {
			return nil, err
		}
		err = handle.Get(ctx, &before)
		return before, err
	}
	before, err := replace(&world)
	if err := same(before, err, &longText); err != nil {
		return err
	}
	var failure *temporal.ApplicationError
	if _, err := replace(&no); !errors.As(err, &failure) || failure.Message() != refused {
		return fmt.Errorf("it was not refused on purpose: %w", err)
	}
	for _, asked := range []struct {
		text  *string
		count int
	}{{&empty, 1}, {nil, 1}, {&longText, 0}} {
		answer, err := c.QueryWorkflow(ctx, run.GetID(), "", "count", asked.text)
		if err != nil {
			return err
		}
		var count int
		err = answer.Get(&count)
		if err := same(count, err, asked.count); err != nil {
			return err
		}
	}
	answer, err := c.QueryWorkflow(ctx, run.GetID(), "", "caller")
	if err != nil {
		return err
	}
	var name string
	err = answer.Get(&name)
	if err := same(name, err, note); err != nil {
		return err
	}
	described, err := c.DescribeWorkflowExecution(ctx, run.GetID(), "")
	if err != nil {
		return err
	}
	for name, expected := range memo {
		var text *string
		err := data.FromPayload(described.WorkflowExecutionInfo.Memo.Fields[name], &text)
		if err := same(text, err, expected); err != nil {
			return err
		}
	}
	if err := signal("end", &note); err != nil {
		return err
	}
	var result []*string
	err = run.Get(ctx, &result)
	if err := same(result, err, []*string{nil, &empty, nil, &world, &note}); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode([]string{run.GetID()})
}

func same[T any](got T, err error, expected T) error {
	if err == nil && !reflect.DeepEqual(got, expected) {
		text, _ := json.Marshal(got)
		err = fmt.Errorf("%.200s came back", text)
	}
	return err
}
