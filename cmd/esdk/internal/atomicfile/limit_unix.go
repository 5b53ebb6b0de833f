//go:build unix

package atomicfile

import (
	"os"
	"syscall"
)

// openLimit is how many more files the system lets this process open.
func openLimit() int {
	const most = 1 << 20
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return most
	}
	open, _ := os.ReadDir("/dev/fd") // if there is none, ownFiles has to do
	return int(min(uint64(limit.Cur), most)) - len(open)
}
