// Package bounded limits the length of data that comes over a connection.
package bounded

import (
	"fmt"
	"io"
)

// Body returns a body that fails if it's longer than a limit in bytes.
func Body(body io.ReadCloser, limit int64) io.ReadCloser {
	return &limited{body, limit, limit}
}

type limited struct {
	io.ReadCloser
	limit, left int64
}

func (b *limited) Read(p []byte) (int, error) {
	// One byte more than the limit shows that there is more.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", b.limit)
	}
	return n, err
}
