package batch

import (
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// TestReportMadeMeanwhile checks that several commands, such as the shards of a
// run, can make one report at the same time.
func TestReportMadeMeanwhile(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				f, err := openAppending(filepath.Join(dir, strconv.Itoa(i)))
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
			})
		}
		group.Wait()
	}
}
