// Package peer contains the protocol and the timing that the Go peers share.
// ../../README.md describes both, also for peers in other languages.
package peer

// A Request is one line of JSON on the standard input of a peer.
type Request struct {
	Op      string `json:"op"`
	Suite   string `json:"suite,omitempty"`
	Size    int    `json:"size,omitempty"`
	Stream  bool   `json:"stream,omitempty"`
	Copied  bool   `json:"copied,omitempty"` // the stream comes from a source that copies
	Threads int    `json:"threads,omitempty"`
	Cores   int    `json:"cores,omitempty"`
	Reuse   bool   `json:"reuse,omitempty"`
	Heap    int    `json:"heap,omitempty"` // bytes that stay live meanwhile
	Millis  int    `json:"millis,omitempty"`
	Path    string `json:"path,omitempty"`
}

// An Answer is one line of JSON on its standard output. Best and Median are
// seconds for each operation.
type Answer struct {
	Iterations int     `json:"iterations,omitempty"`
	Best       float64 `json:"best,omitempty"`
	Median     float64 `json:"median,omitempty"`
	Allocs     float64 `json:"allocs,omitempty"`

	RSS     int64  `json:"rss,omitempty"`
	Version string `json:"version,omitempty"`

	// Unsupported says why the peer has no figure, and Error describes a
	// failure.
	Unsupported string `json:"unsupported,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Unsupported is the error of an operation that a peer lacks.
type Unsupported string

func (u Unsupported) Error() string { return string(u) }
