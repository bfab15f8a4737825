// What a slow codec does to a worker in Go, on a real Temporal server. Prints what it saw as JSON.
//
//	go run .    # needs the Temporal CLI, temporal, on the PATH
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	key = "test-key-test-key-test-key-test!"
	// stall is as long as a key service may take: shorter than the deadlock detector's second.
	stall = 400 * time.Millisecond
	// tooLong is longer than that second.
	tooLong = 1200 * time.Millisecond
	// many workflows at once.
	many = 20
)

// seen is what is printed.
type seen struct {
	// OneSeconds is how long one workflow took whose codec stalls in each call, and ManySeconds how long Many of
	// them took at once, on one processor.
	OneSeconds  float64 `json:"one_seconds"`
	ManySeconds float64 `json:"many_seconds"`
	Many        int     `json:"many"`
	// Failure is why the first workflow task failed whose codec waits for longer than a second.
	Failure string `json:"failure"`
	// MayWait is what the same workflow returned with mayWait, and Failures how many of its tasks failed.
	MayWait  string `json:"may_wait"`
	Failures int    `json:"failures"`
}

func greet(context.Context, string) (string, error) { return "Hello, World", nil }

// Greeting runs one activity. Its arguments are encoded, and its result is decoded, in workflow code.
func Greeting(ctx workflow.Context, name string) (text string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, greet, name).Get(ctx, &text)
	return text, err
}

// keyService answers each request after the stall, and returns its address.
func keyService(stall time.Duration) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	answer := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(stall)
		fmt.Fprint(w, key)
	}
	go func() { fail(http.Serve(listener, http.HandlerFunc(answer))) }()
	return "http://" + listener.Addr().String()
}

// connect returns a client whose payloads go through this converter.
func connect(address string, converter converter.DataConverter) client.Client {
	c, err := client.Dial(client.Options{
		HostPort:      address,
		DataConverter: converter,
	})
	fail(err)
	return c
}

// with runs a worker with this converter while `do` runs.
func with(address, queue string, converter converter.DataConverter, do func()) {
	c := connect(address, converter)
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(Greeting)
	w.RegisterActivity(greet)
	fail(w.Start())
	defer w.Stop()
	do()
}

func main() {
	temporal, err := exec.LookPath("temporal")
	fail(err)
	runtime.GOMAXPROCS(1)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	server, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{ExistingPath: temporal, Stdout: os.Stderr})
	fail(err)
	defer server.Stop()
	address := server.FrontendHostPort()

	// The starter's own codec never waits.
	starter := connect(address, encrypted(codec{keyService(0)}))
	defer starter.Close()
	start := func(queue string) client.WorkflowRun {
		options := client.StartWorkflowOptions{TaskQueue: queue}
		run, err := starter.ExecuteWorkflow(ctx, options, Greeting, "World")
		fail(err)
		return run
	}
	finish := func(run client.WorkflowRun) (text string) {
		fail(run.Get(ctx, &text))
		return text
	}

	saw := seen{Many: many}
	with(address, "stalls", encrypted(codec{keyService(stall)}), func() {
		since := time.Now()
		finish(start("stalls"))
		saw.OneSeconds = time.Since(since).Seconds()

		since = time.Now()
		var runs []client.WorkflowRun
		for range many {
			runs = append(runs, start("stalls"))
		}
		for _, run := range runs {
			finish(run)
		}
		saw.ManySeconds = time.Since(since).Seconds()
	})
	with(address, "too-long", encrypted(codec{keyService(tooLong)}), func() {
		run := start("too-long")
		failures := failures(ctx, starter, run, true)
		saw.Failure = failures[0]
		fail(starter.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "it never completes"))
	})
	with(address, "may-wait", mayWait(codec{keyService(tooLong)}), func() {
		run := start("may-wait")
		saw.MayWait = finish(run)
		saw.Failures = len(failures(ctx, starter, run, false))
	})
	fail(json.NewEncoder(os.Stdout).Encode(saw))
}

// failures returns the messages of the workflow tasks that failed; with `wait`, as soon as one has.
func failures(ctx context.Context, c client.Client, run client.WorkflowRun, wait bool) (found []string) {
	events := c.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), wait, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		fail(err)
		failed := event.GetWorkflowTaskFailedEventAttributes()
		if failed == nil {
			continue
		}
		found = append(found, failed.GetFailure().GetMessage())
		if wait {
			return found
		}
	}
	if wait {
		fail(errors.New("the workflow ended, and none of its tasks failed"))
	}
	return found
}

// fail panics, so that what was deferred still stops the server.
func fail(err error) {
	if err != nil {
		panic(err)
	}
}
