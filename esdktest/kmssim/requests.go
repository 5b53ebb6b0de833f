package kmssim

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// A Request is one request that the server got.
type Request struct {
	Operation string         // such as GenerateDataKey
	Region    string         // of the credentials' scope
	Input     map[string]any // the JSON object; blobs are base64 in it
	Header    http.Header
	Error     string // the code of the error that it was answered with, if any
}

// keptRequests is how many requests are kept; the counters go on.
const keptRequests = 1 << 14

// requestLog remembers what was asked.
type requestLog struct {
	mu       sync.Mutex
	requests []*Request
	counts   map[string]int
}

func (l *requestLog) init() { l.counts = map[string]int{} }

func (l *requestLog) begin(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) == keptRequests {
		l.requests = slices.Delete(l.requests, 0, keptRequests/2)
	}
	l.requests = append(l.requests, r)
	l.counts[r.Operation]++
}

func (l *requestLog) end(r *Request, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Error = code
}

// Requests returns the requests since the last [Server.Reset] in the order in
// which they came, retries among them. Of very many, only the last thousands are
// kept. Requests that KMS cannot read are not in it.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	requests := make([]Request, len(s.log.requests))
	for i, r := range s.log.requests {
		requests[i] = *r
	}
	return requests
}

// Counts returns how many requests there were of each operation since the last
// [Server.Reset], whatever their answer.
func (s *Server) Counts() map[string]int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return maps.Clone(s.log.counts)
}

// Count returns how many requests there were of one operation since the last
// [Server.Reset], whatever their answer.
func (s *Server) Count(operation string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.counts[operation]
}

// Reset forgets all requests and their counts. Keys, faults and latency stay.
func (s *Server) Reset() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.requests = nil
	clear(s.log.counts)
}
