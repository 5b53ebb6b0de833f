//go:build unix

package atomicfile

import (
	"os"
	"syscall"
)

// openLimit returns the number of further files that this process may open.
func openLimit() int {
	const most = 1 << 20
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return most
	}
	open, _ := os.ReadDir("/dev/fd") // if it doesn't exist, ownFiles must suffice
	return int(min(uint64(limit.Cur), most)) - len(open)
}
