//go:build !unix

package atomicfile

// openLimit returns the number of further files that this process may open.
func openLimit() int { return 1 << 20 }
