package bulk

import (
	"fmt"
	"testing"

	"gocloud.dev/blob/memblob"
)

// BenchmarkRotation re-encrypts small objects in memory, so that only the
// program's own time counts. Each iteration re-encrypts 1,000 objects of 4 KiB.
func BenchmarkRotation(b *testing.B) {
	for _, c := range []struct {
		name  string
		flags []string
	}{{"signed", nil}, {"unsigned", []string{"--unsigned"}}} {
		b.Run(c.name, func(b *testing.B) {
			k := newKeys(b)
			keys := []string{k.before, k.after}
			var works []*Work
			for i := range keys {
				flags := append([]string{"--from-key", keys[i], "-k", keys[1-i], "--skip-done", "never"}, c.flags...)
				w, err := OpenRotation(background, flags)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(w.Close)
				works = append(works, w)
			}
			in := memblob.OpenBucket(nil)
			b.Cleanup(func() { in.Close() })
			before, err := OpenClient(background, append([]string{"-k", k.before}, c.flags...))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(before.Close)
			message, _, err := before.Encrypt(background, make([]byte, 4096), nil)
			if err != nil {
				b.Fatal(err)
			}
			for i := range 1000 {
				if err := in.WriteAll(background, fmt.Sprintf("all/%04d", i), message, nil); err != nil {
					b.Fatal(err)
				}
			}
			for _, w := range works {
				w.buckets.UseTest("s3://test", in)
			}
			i := 0
			for b.Loop() {
				err := works[i%2].DoRange(background, Range{Folder: "s3://test/all/"}, func(r Result) error {
					if r.Status != OK {
						b.Fatalf("%+v", r)
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
