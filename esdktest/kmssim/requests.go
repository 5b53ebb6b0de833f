package kmssim

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// A Request is a request that the server received.
type Request struct {
	Operation string         // such as GenerateDataKey
	Region    string         // from the credentials' scope
	Input     map[string]any // the JSON object; blobs are base64 in it
	Header    http.Header
	Error     string // the error code of the answer, if any
}

// keptRequests is the number of requests kept; the counters go on.
const keptRequests = 1 << 14

// requestLog records requests.
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

// Requests returns the requests since the last [Server.Reset] in order of
// arrival, including retries. If there are very many, only the last thousands
// are kept. Requests that KMS can't parse aren't included.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	requests := make([]Request, len(s.log.requests))
	for i, r := range s.log.requests {
		requests[i] = *r
	}
	return requests
}

// Counts returns the number of requests for each operation since the last
// [Server.Reset], including failed ones.
func (s *Server) Counts() map[string]int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return maps.Clone(s.log.counts)
}

// Count returns the number of requests for one operation since the last
// [Server.Reset], including failed ones.
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
