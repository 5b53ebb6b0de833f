package branchkey

import (
	"testing"
)

func BenchmarkFileGet(b *testing.B) {
	k := newKMS(b)
	storage := newFile(b)
	id := ok[string](b)(k.newStore(b, storage).CreateKey(b.Context(), "", nil))
	for b.Loop() {
		ok[*Item](b)(storage.Get(b.Context(), id, activeType, true))
	}
}
