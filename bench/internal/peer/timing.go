package peer

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// batchTime is the least time of one measurement. It hides the cost of the
// clock, and spreads the cost of the garbage collector.
const batchTime = 10 * time.Millisecond

func (r *Request) limit() time.Duration { return time.Duration(r.Millis) * time.Millisecond }

// timeOne repeats an operation in batches until the time is up, at least once.
func timeOne(op Operation, limit time.Duration) (*Answer, error) {
	a := &Answer{}
	var batches []float64
	mallocs := countMallocs()
	for start := time.Now(); len(batches) == 0 || time.Since(start) < limit; {
		n := 0
		batch := time.Now()
		for n == 0 || time.Since(batch) < batchTime {
			if err := op(); err != nil {
				return nil, err
			}
			n++
		}
		batches = append(batches, time.Since(batch).Seconds()/float64(n))
		a.Iterations += n
	}
	a.Allocs = float64(countMallocs()-mallocs) / float64(a.Iterations)
	slices.Sort(batches)
	a.Best, a.Median = batches[0], batches[len(batches)/2]
	return a, nil
}

// timeThreads repeats all operations at the same time. The figure is the time
// per result, over all threads.
func timeThreads(ops []Operation, limit time.Duration) (*Answer, error) {
	counts, errs := make([]int, len(ops)), make([]error, len(ops))
	var all sync.WaitGroup
	start := time.Now()
	for i, op := range ops {
		all.Go(func() {
			for counts[i] == 0 || time.Since(start) < limit {
				if errs[i] = op(); errs[i] != nil {
					return
				}
				counts[i]++
			}
		})
	}
	all.Wait()
	a := &Answer{}
	for _, n := range counts {
		a.Iterations += n
	}
	a.Best = time.Since(start).Seconds() / float64(a.Iterations)
	a.Median = a.Best
	return a, errors.Join(errs...)
}

func countMallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
