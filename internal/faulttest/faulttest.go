// Package faulttest injects faults in tests: contexts that end at a chosen
// step, bytes that change, and HTTP services whose answers arrive damaged.
package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// Changed returns a copy of good with flips applied from an offset on. Flips
// beyond the end are appended.
func Changed(good, flips []byte, at uint16) []byte {
	b := bytes.Clone(good)
	for i, flip := range flips {
		if n := int(at) + i; n < len(b) {
			b[n] ^= flip
		} else {
			b = append(b, flip)
		}
	}
	return b
}

// A Countdown is a context that is cancelled after it has been checked a given
// number of times.
type Countdown struct {
	context.Context
	Cancel func()
	left   atomic.Int64
}

// NewCountdown returns a context that is still alive for the first n checks.
func NewCountdown(ctx context.Context, n int) *Countdown {
	c := new(Countdown)
	c.Context, c.Cancel = context.WithCancel(ctx)
	c.left.Store(int64(n))
	return c
}

// Err implements [context.Context].
func (c *Countdown) Err() error {
	c.step()
	return c.Context.Err()
}

// Done implements [context.Context].
func (c *Countdown) Done() <-chan struct{} {
	c.step()
	return c.Context.Done()
}

func (c *Countdown) step() {
	if c.left.Add(-1) < 0 {
		c.Cancel()
	}
}

// A Proxy passes requests to a handler, and spoils its answers if a Spoiler is
// set.
type Proxy struct {
	http.Handler
	spoil atomic.Pointer[Spoiler]
}

// A Spoiler answers a request instead of the handler, whose own answer it gets.
type Spoiler func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder)

// Spoil sets the Spoiler of all answers from now on; nil means none.
func (p *Proxy) Spoil(s Spoiler) {
	if s == nil {
		p.spoil.Store(nil)
	} else {
		p.spoil.Store(&s)
	}
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	spoil := p.spoil.Load()
	if spoil == nil {
		p.Handler.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	p.Handler.ServeHTTP(answer, r)
	(*spoil)(w, r, answer)
}

// Status returns a Spoiler that answers with a status and a body.
func Status(code int, body string) Spoiler {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// Stall doesn't answer until the client has gone.
func Stall(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
	<-r.Context().Done()
}

// Cut sends half of the answer and closes the connection.
func Cut(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	sendHalf(w, answer, func(*net.TCPConn) {})
}

// Reset sends half of the answer and resets the connection.
func Reset(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	sendHalf(w, answer, func(c *net.TCPConn) { c.SetLinger(0) })
}

func sendHalf(w http.ResponseWriter, answer *httptest.ResponseRecorder, end func(*net.TCPConn)) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	body := answer.Body.Bytes()
	answer.Header().Del("Content-Length")
	fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nContent-Length: %d\r\n", answer.Code, len(body))
	answer.Header().Write(conn)
	fmt.Fprintf(conn, "\r\n%s", body[:len(body)/2])
	end(conn.(*net.TCPConn))
}

// Say returns a Spoiler that sends bytes, which needn't be HTTP.
func Say(text string) Spoiler {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			io.WriteString(conn, text)
			conn.Close()
		}
	}
}

// Endless returns a Spoiler that answers with a start and goes on for as long
// as the client reads.
func Endless(code int, start string) Spoiler {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		w.WriteHeader(code)
		io.WriteString(w, start)
		more := bytes.Repeat([]byte("AAAA"), 1<<14)
		for {
			if _, err := w.Write(more); err != nil {
				return
			}
		}
	}
}
