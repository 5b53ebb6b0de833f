package lake

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// fakeServer answers heartbeats as configured.
type fakeServer struct {
	client.Client
	answer func(ctx context.Context) error
}

func (f *fakeServer) RecordActivityHeartbeat(ctx context.Context, _ []byte, _ ...any) error {
	return f.answer(ctx)
}

// TestLease: work ends before another worker may get its chunk, and continues
// as long as the server answers.
func TestLease(t *testing.T) {
	const length = 30 * time.Second
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, c := range map[string]struct {
		answer func(ctx context.Context) error
		cause  error // of the context's end
		asked  error
	}{
		"it answers":         {func(context.Context) error { return nil }, nil, nil},
		"it is gone":         {func(context.Context) error { return serviceerror.NewNotFound("gone") }, errLeaseLost, nil},
		"it refuses":         {func(context.Context) error { return serviceerror.NewUnavailable("refused") }, errLeaseLost, nil},
		"it hangs":           {hang, errLeaseLost, nil},
		"it wants to cancel": {func(context.Context) error { return temporal.NewCanceledError() }, nil, errCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var silent atomic.Bool
				server := &fakeServer{answer: func(ctx context.Context) error {
					if !silent.Load() {
						return nil
					}
					return c.answer(ctx)
				}}
				l, held := newLease(t.Context(), server, nil, length, nil, nil)
				time.Sleep(10 * length)
				if held.Err() != nil || l.ended() != nil {
					t.Fatalf("it ends although the server answers: %v, %v", held.Err(), l.ended())
				}
				silent.Store(true)
				time.Sleep(length - time.Nanosecond) // after this, the server may give it away
				if cause := context.Cause(held); !errors.Is(cause, c.cause) || c.cause == nil && cause != nil || !errors.Is(l.ended(), c.asked) {
					t.Errorf("%v, %v; want %v, %v", cause, l.ended(), c.cause, c.asked)
				}
				l.release()
			})
		})
	}
}

// TestLeaseOfStoppedWorker: the worker's stop requests an end, and the lease is
// kept.
func TestLeaseOfStoppedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		l, held := newLease(t.Context(), &fakeServer{answer: func(context.Context) error { return nil }}, nil, time.Minute, nil, stopping)
		close(stopping)
		time.Sleep(time.Hour)
		if held.Err() != nil || !errors.Is(l.ended(), errStopping) {
			t.Errorf("%v, %v", held.Err(), l.ended())
		}
		l.release()
	})
}
