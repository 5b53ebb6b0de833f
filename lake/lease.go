package lake

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

var (
	errLeaseLost = errors.New("the lease was lost: another worker may hold it")
	errCancelled = errors.New("the rotation was cancelled")
	errStopping  = errors.New("the worker is stopped")
)

const (
	// minLease leaves time for several heartbeats, one of which may be late.
	minLease = 3 * time.Second

	// minBeat is for leases of a workflow that was started without [Job.Check].
	minBeat = 100 * time.Millisecond
)

// A lease is the right to work on a chunk. The server gives it to another
// worker if it gets no heartbeat for the length of the lease. The SDK's own
// heartbeats don't report an unreachable server, so these do.
type lease struct {
	client client.Client
	token  []byte
	length time.Duration
	cancel context.CancelCauseFunc

	beating sync.Mutex // held during a heartbeat; guards until
	until   time.Time

	mu    sync.Mutex
	mark  any   // the progress, for the next holder of the lease
	asked error // why the work should end

	stop chan struct{}
	done chan struct{}
}

// hold keeps the lease of an activity until release is called. The returned
// context ends with the lease.
func hold(ctx context.Context, c client.Client, mark any) (*lease, context.Context) {
	info := activity.GetInfo(ctx)
	return newLease(ctx, c, info.TaskToken, info.HeartbeatTimeout, mark, activity.GetWorkerStopChannel(ctx))
}

func newLease(ctx context.Context, c client.Client, token []byte, length time.Duration, mark any, stopping <-chan struct{}) (*lease, context.Context) {
	l := &lease{client: c, token: token, length: length, mark: mark, until: time.Now().Add(length), stop: make(chan struct{}), done: make(chan struct{})}
	ctx, l.cancel = context.WithCancelCause(ctx)
	go l.renew(ctx, stopping)
	return l, ctx
}

func (l *lease) renew(ctx context.Context, stopping <-chan struct{}) {
	defer close(l.done)
	ticker := time.NewTicker(max(l.length/6, minBeat))
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-stopping:
			l.ask(errStopping)
			stopping = nil
		case <-ticker.C:
			l.beat(ctx)
		}
	}
}

// ask requests an orderly end of the work.
func (l *lease) ask(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = cmp.Or(l.asked, err)
}

// ended returns why the work should end, or nil.
func (l *lease) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// beat sends a heartbeat. It ends the work if the server says so, or hasn't
// been reached for too long.
func (l *lease) beat(ctx context.Context) {
	l.beating.Lock()
	defer l.beating.Unlock()
	l.mu.Lock()
	mark := l.mark
	l.mu.Unlock()
	begun := time.Now()
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.length/3)
	defer cancel()
	err := l.client.RecordActivityHeartbeat(call, l.token, mark)
	switch {
	case err == nil:
		l.until = begun.Add(l.length)
	case temporal.IsCanceledError(err):
		l.until = begun.Add(l.length)
		l.ask(errCancelled)
	case isGone(err) || time.Until(l.until) < l.length/3:
		l.cancel(errLeaseLost)
	}
}

// note sends a heartbeat with a new mark, which later heartbeats repeat.
func (l *lease) note(ctx context.Context, mark any) {
	l.mu.Lock()
	l.mark = mark
	l.mu.Unlock()
	l.beat(ctx)
}

// release ends the heartbeats.
func (l *lease) release() {
	close(l.stop)
	<-l.done
	l.cancel(nil)
}
