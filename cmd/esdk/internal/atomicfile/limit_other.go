//go:build !unix

package atomicfile

// openLimit is how many more files the system lets this process open.
func openLimit() int { return 1 << 20 }
