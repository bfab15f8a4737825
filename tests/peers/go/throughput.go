package main

import (
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// How many payloads a call has, and how many bytes a payload.
var calls = []struct{ payloads, bytes int }{{1, 64}, {1, 1 << 10}, {1, 64 << 10}, {1, 1 << 20}, {100, 1 << 10}}

const (
	// The clock is read once for at least that many bytes.
	batch   = 64 << 10
	warmUp  = 500 * time.Millisecond
	sample  = 100 * time.Millisecond
	samples = 5
)

// throughput measures the codec, and the codec with a cipher that is made once. It prints one line for each sample:
// name, operation, payloads in a call, bytes in a payload, microseconds for a payload.
func throughput() error {
	asSample, err := newCodec()
	if err != nil {
		return err
	}
	withOneCipher, err := asSample.withOneCipher()
	if err != nil {
		return err
	}
	for _, call := range calls {
		plain := make([]*commonpb.Payload, call.payloads)
		for i := range plain {
			plain[i] = &commonpb.Payload{
				Metadata: map[string][]byte{"encoding": []byte("json/plain")},
				Data:     []byte(strings.Repeat("x", call.bytes)),
			}
		}
		for _, each := range []struct {
			name string
			codec
		}{{"Go", asSample}, {"Go, cipher made once", withOneCipher}} {
			sealed, err := each.Encode(plain)
			if err != nil {
				return err
			}
			opened, err := each.Decode(sealed)
			if err != nil {
				return err
			}
			for i := range plain {
				if !reflect.DeepEqual(opened[i].Data, plain[i].Data) {
					return fmt.Errorf("%s: what was decrypted is not what was encrypted", each.name)
				}
			}
			if err := measure(each.name+"\tencrypt", call.bytes, plain, each.Encode); err != nil {
				return err
			}
			if err := measure(each.name+"\tdecrypt", call.bytes, sealed, each.Decode); err != nil {
				return err
			}
		}
	}
	return nil
}

func measure(
	what string, bytes int, input []*commonpb.Payload,
	call func([]*commonpb.Payload) ([]*commonpb.Payload, error),
) error {
	inBatch := max(1, batch/(bytes*len(input)))
	of := func(atLeast time.Duration) (float64, error) {
		start, count := time.Now(), 0
		for time.Since(start) < atLeast {
			for range inBatch {
				if _, err := call(input); err != nil {
					return 0, err
				}
			}
			count += inBatch * len(input)
		}
		return float64(time.Since(start).Nanoseconds()) / 1e3 / float64(count), nil
	}
	if _, err := of(warmUp); err != nil {
		return err
	}
	for range samples {
		time, err := of(sample)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%d\t%d\t%f\n", what, len(input), bytes, time)
	}
	return nil
}

// serve is the codec server of Temporal's encryption sample, on a free port of loopback, until it is stopped.
func serve() error {
	codec, err := newCodec()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("codec server on http://%s\n", listener.Addr())
	return http.Serve(listener, converter.NewPayloadCodecHTTPHandler(codec, compress))
}
