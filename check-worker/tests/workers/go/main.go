// A small worker whose state is chosen by a flag. `record.py` runs it and records its metrics.
//
// The codec only reverses bytes. What it does while it does so is the state.
package main

import (
	"context"
	"flag"
	"log"
	"math/rand"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/uber-go/tally/v4"
	tallyprom "github.com/uber-go/tally/v4/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	sdktally "go.temporal.io/sdk/contrib/tally"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var state string

type codec struct{}

func pause() {
	switch state {
	case "held": // In Go a codec that sleeps holds up its own task only.
		if rand.Float64() < 0.1 {
			time.Sleep(400 * time.Millisecond)
		}
	case "awaited":
		time.Sleep(400 * time.Millisecond)
	case "awaited-jitter":
		time.Sleep(time.Duration(rand.ExpFloat64() * 0.2 * float64(time.Second)))
	}
}

func reversed(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[len(data)-1-i] = b
	}
	return out
}

func (codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	pause()
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		bytes, err := p.Marshal()
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("reversed")}, Data: reversed(bytes)}
	}
	return out, nil
}

func (codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	pause()
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.Metadata["encoding"]) != "reversed" {
			out[i] = p
			continue
		}
		out[i] = &commonpb.Payload{}
		if err := out[i].Unmarshal(reversed(p.Data)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func compose(ctx context.Context, name string) (string, error) {
	if state == "few-activity-slots" {
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	return "Hello, " + name, nil
}

func export(ctx context.Context, name string) (string, error) {
	switch state {
	case "stuck-activities":
		<-ctx.Done()
	case "slow-activities":
		time.Sleep(20 * time.Second)
	}
	time.Sleep(5 * time.Millisecond)
	return name, nil
}

func compute(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
	}
}

func options(timeout time.Duration) workflow.ActivityOptions {
	return workflow.ActivityOptions{StartToCloseTimeout: timeout}
}

func aboutActivities() bool { return state == "slow-activities" || state == "stuck-activities" }

// Greeting runs two activities, one after the other.
func Greeting(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, options(time.Minute))
	var text string
	if state == "computes" {
		compute(150 * time.Millisecond)
	}
	if state == "nondeterministic" && workflow.IsReplaying(ctx) {
		_ = workflow.Sleep(ctx, time.Second)
	}
	if err := workflow.ExecuteActivity(ctx, "compose", name).Get(ctx, &text); err != nil {
		return "", err
	}
	if state == "computes" {
		compute(150 * time.Millisecond)
	}
	if aboutActivities() {
		return text, nil
	}
	if state == "too-large" {
		return strings.Repeat("x", 5_000_000), nil
	}
	if state == "tiny-cache" {
		for range 3 {
			_ = workflow.Sleep(ctx, time.Second)
			_ = workflow.ExecuteActivity(ctx, "compose", name).Get(ctx, &text)
		}
	}
	err := workflow.ExecuteActivity(ctx, "export", text).Get(ctx, &text)
	return text, err
}

// Quick runs no activity, unless the state is about activities.
func Quick(ctx workflow.Context, name string) (string, error) {
	if aboutActivities() {
		ctx = workflow.WithActivityOptions(ctx, options(5*time.Minute))
		return name, workflow.ExecuteActivity(ctx, "export", name).Get(ctx, nil)
	}
	if state == "computes" {
		compute(150 * time.Millisecond)
	}
	return name, nil
}

func fail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// pushEvery is the interval of pushes to a collector. Without one, OpenTelemetry's SDK takes 60 s.
var pushEvery time.Duration

// pushed sends them to a collector.
func pushed(kind, url string) client.MetricsHandler {
	exporter, err := otlpmetricgrpc.New(context.Background(), otlpmetricgrpc.WithEndpointURL(url))
	fail(err)
	var options []metric.PeriodicReaderOption
	if pushEvery > 0 {
		options = append(options, metric.WithInterval(pushEvery))
	}
	return otelHandler(kind, metric.NewPeriodicReader(exporter, options...))
}

func otelHandler(kind string, reader metric.Reader) client.MetricsHandler {
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                provider.Meter("temporal-sdk-go"),
		UseMonotonicCounters: kind == "otel-monotonic",
	})
}

// metrics serves them, in the way that is asked for, or pushes them to a collector if the address is a URL.
func metrics(kind, address string) client.MetricsHandler {
	if strings.HasPrefix(address, "http") {
		return pushed(kind, address)
	}
	registry := promclient.NewRegistry()
	// Not the default one, to which tally adds a page of its own.
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go func() { fail(http.ListenAndServe(address, mux)) }()
	if kind == "otel" || kind == "otel-monotonic" {
		exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
		fail(err)
		return otelHandler(kind, exporter)
	}
	timers := "summary"
	if kind == "tally-histogram" || kind == "tally-plain" {
		timers = "histogram"
	}
	reporter, err := tallyprom.Configuration{TimerType: timers}.NewReporter(tallyprom.ConfigurationOptions{
		Registry: registry,
		OnError:  func(err error) { log.Println("metrics:", err) },
	})
	fail(err)
	scope, _ := tally.NewRootScope(tally.ScopeOptions{
		CachedReporter:  reporter,
		Separator:       tallyprom.DefaultSeparator,
		SanitizeOptions: &sdktally.PrometheusSanitizeOptions,
		Prefix:          map[bool]string{true: "", false: "shop"}[kind == "tally-plain"],
	}, time.Second)
	if kind != "tally-plain" {
		scope = sdktally.NewPrometheusNamingScope(scope)
	}
	return sdktally.NewMetricsHandler(scope)
}

func main() {
	address := flag.String("address", "", "host:port of the server")
	listen := flag.String("metrics", "", "host:port for Prometheus, or a collector's URL")
	queue := flag.String("task-queue", "check-worker", "")
	kind := flag.String("handler", "tally", "tally, tally-histogram, tally-plain, otel or otel-monotonic")
	flag.DurationVar(&pushEvery, "push-every", 0, "between two pushes to the collector, such as 1s")
	flag.StringVar(&state, "state", "healthy", "see record.py")
	flag.Parse()

	c, err := client.Dial(client.Options{
		HostPort:       *address,
		MetricsHandler: metrics(*kind, *listen),
		DataConverter:  converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec{}),
	})
	fail(err)
	o := worker.Options{}
	switch state {
	case "few-slots":
		o.MaxConcurrentWorkflowTaskExecutionSize = 2
	case "few-activity-slots":
		o.MaxConcurrentActivityExecutionSize = 2
	case "few-pollers":
		o.MaxConcurrentWorkflowTaskPollers = 2
	case "slow-activities":
		o.MaxConcurrentActivityExecutionSize = 10
	case "stuck-activities":
		o.MaxConcurrentActivityExecutionSize = 6
	case "tiny-cache", "nondeterministic":
		worker.SetStickyWorkflowCacheSize(2)
	}
	w := worker.New(c, *queue, o)
	w.RegisterWorkflow(Greeting)
	w.RegisterWorkflow(Quick)
	w.RegisterActivityWithOptions(compose, activity.RegisterOptions{Name: "compose"})
	w.RegisterActivityWithOptions(export, activity.RegisterOptions{Name: "export"})
	fail(w.Start())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	os.Exit(0)
}
