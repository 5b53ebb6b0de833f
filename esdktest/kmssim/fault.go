package kmssim

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// A Fault makes a request go wrong. Of Reset, Code, Garbage and Edit, the first
// one that is set takes effect.
type Fault struct {
	Delay   time.Duration        // waits first, in addition to the latency
	Reset   bool                 // resets the connection; the operation does not run
	Code    string               // answers with this error, such as ThrottlingException; the operation does not run
	Message string               // of the error
	Garbage []byte               // answers with this instead of JSON
	Edit    func(map[string]any) // changes a good answer, whose blobs are []byte
}

// chaos holds the configured faults.
type chaos struct {
	mu      sync.Mutex
	latency time.Duration
	choose  func(*Request) *Fault
}

// faultFor returns the request's fault; its zero value is no fault.
func (c *chaos) faultFor(r *Request) *Fault {
	c.mu.Lock()
	choose, latency := c.choose, c.latency
	c.mu.Unlock()
	fault := new(Fault)
	if choose != nil {
		if f := choose(r); f != nil {
			*fault = *f
		}
	}
	fault.Delay += latency
	return fault
}

// Fault sets a function that is called with each request and returns its fault,
// or nil. The function may be called concurrently, and must not change the
// request. A nil choose ends all faults.
func (s *Server) Fault(choose func(*Request) *Fault) {
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	s.chaos.choose = choose
}

// SetLatency makes every request wait for d before it's answered.
func (s *Server) SetLatency(d time.Duration) {
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	s.chaos.latency = d
}

// wait waits for d and reports whether the client is still waiting then.
func (s *Server) wait(gone <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
	case <-s.done:
	}
	return false
}

// resetConnection closes the connection so that the client gets a TCP reset.
func resetConnection(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
