package branchkey

import (
	"testing"

	"esdk"
)

func BenchmarkFileGet(b *testing.B) {
	k := newKMS(b)
	storage := newFile(b)
	id := ok[string](b)(k.newStore(b, storage).CreateKey(b.Context(), "", nil))
	for b.Loop() {
		ok[*Item](b)(storage.Get(b.Context(), id, activeType, true))
	}
}

func BenchmarkKeyring(b *testing.B) {
	source := newSource()
	source.add("a")
	kr := newKeyring(b, KeyringConfig{Store: source, BranchKeyID: "a"})
	r, _ := wrap(b, kr)
	b.Run("Wrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ok[*esdk.WrapResult](b)(kr.Wrap(b.Context(), wrapRequest))
		}
	})
	b.Run("Unwrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ok[[]byte](b)(unwrap(kr, r.EncryptedDataKeys...))
		}
	})
}
