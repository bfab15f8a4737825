// A client and a worker in Go for the other half in Rust. Both compress what they encrypt. tests/live/peers.rs runs
// each of these:
//
//	peer client ADDRESS QUEUE                starts workflows on the Rust worker, and checks what they return
//	peer remote ADDRESS QUEUE CODEC_SERVER   the same, with a codec server that encrypts and decrypts
//	peer messages ADDRESS QUEUE CODEC_SERVER sends messages and a header through the codec server
//	peer worker ADDRESS QUEUE                runs workflows that the Rust starter starts, until it is stopped
//
// tests/peers/throughput.sh runs these:
//
//	peer throughput                          measures how fast the codec is
//	peer codec-server                        the codec server of Temporal's sample, on a free port
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const usage = `usage: peer client ADDRESS QUEUE
       peer remote ADDRESS QUEUE CODEC_SERVER
       peer messages ADDRESS QUEUE CODEC_SERVER
       peer worker ADDRESS QUEUE
       peer throughput
       peer codec-server`

// long is a name of 1 MiB.
var long = strings.Repeat("x", 1<<20)

// compress is the codec that Temporal's sample uses before it encrypts.
var compress = converter.NewZlibCodec(converter.ZlibCodecOptions{AlwaysEncode: true})

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	does := fmt.Sprint(len(words))
	if len(words) > 0 {
		does = words[0] + " " + does
	}
	switch does {
	case "client 3", "remote 4", "messages 4", "worker 3":
		return connect(words)
	case "throughput 1":
		return throughput()
	case "codec-server 1":
		return serve()
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
		return nil
	}
}

func connect(words []string) error {
	does, address, queue := words[0], words[1], words[2]
	var data converter.DataConverter
	if len(words) == 4 {
		options := converter.RemoteDataConverterOptions{Endpoint: words[3]}
		data = converter.NewRemoteDataConverter(converter.GetDefaultDataConverter(), options)
	} else {
		codec, err := newCodec()
		if err != nil {
			return err
		}
		// As in Temporal's sample: the last codec is the first to encode.
		data = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec, compress)
	}
	c, err := client.Dial(client.Options{
		HostPort:           address,
		DataConverter:      data,
		ContextPropagators: []workflow.ContextPropagator{caller{}},
		// Messages and stack traces of failures are encrypted, too.
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter:          data,
			EncodeCommonAttributes: true,
		}),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	switch does {
	case "worker":
		return work(c, queue)
	case "messages":
		return send(ctx, c, data, queue)
	default:
		return start(ctx, c, queue, does)
	}
}

func work(c client.Client, queue string) error {
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(greetingWorkflow, workflow.RegisterOptions{Name: "GreetingWorkflow"})
	w.RegisterWorkflowWithOptions(messagesWorkflow, workflow.RegisterOptions{Name: "MessagesWorkflow"})
	w.RegisterActivityWithOptions(composeGreeting, activity.RegisterOptions{Name: "compose_greeting"})
	return w.Run(worker.InterruptCh())
}

// start starts a workflow for each name and one that fails, and prints their ids as one line of JSON.
func start(ctx context.Context, c client.Client, queue, prefix string) error {
	var inputs []greetingInput
	activities, seconds := 2, 0.1
	for i, name := range []string{"World", "Žofie 王小明 🦀", "", long} {
		inputs = append(inputs, greetingInput{strconv.Itoa(i), name, &activities, &seconds, ""})
	}
	inputs = append(inputs, greetingInput{"fails", "World", &activities, &seconds, "for_good"})

	var runs []client.WorkflowRun
	for _, input := range inputs {
		options := client.StartWorkflowOptions{ID: prefix + "-" + input.ID, TaskQueue: queue}
		run, err := c.ExecuteWorkflow(ctx, options, "GreetingWorkflow", input)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	var ids []string
	for i, run := range runs {
		var result string
		err := run.Get(ctx, &result)
		if inputs[i].Failing != "" {
			err = failedAsExpected(err, inputs[i])
		} else if err == nil && result != inputs[i].result() {
			err = fmt.Errorf("it returned %.200q, not %.200q", result, inputs[i].result())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", run.GetID(), err)
		}
		ids = append(ids, run.GetID())
	}
	return json.NewEncoder(os.Stdout).Encode(ids)
}

// failedAsExpected returns nil if this is the activity's own failure.
func failedAsExpected(err error, input greetingInput) error {
	var activityError *temporal.ActivityError
	var failure *temporal.ApplicationError
	if !errors.As(err, &activityError) || !errors.As(activityError, &failure) || failure.Message() != failsOnPurpose {
		return fmt.Errorf("it did not fail on purpose: %w", err)
	}
	var details string
	if err := failure.Details(&details); err != nil {
		return err
	}
	expected := composeGreetingInput{Greeting: "Hello", Name: input.Name}.details()
	if details != expected {
		return fmt.Errorf("the details of its failure are %q, not %q", details, expected)
	}
	return nil
}
