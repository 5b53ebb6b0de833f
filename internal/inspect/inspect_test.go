package inspect_test

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"esdk"
	"esdk/internal/clienttest"
	"esdk/internal/inspect"
)

// The command's tests compare the errors with decryption's. This test checks
// sizes.
func TestWalk(t *testing.T) {
	for _, id := range esdk.Suites() {
		c := clienttest.New(t, esdk.Config{Suite: id, CommitmentPolicy: clienttest.PolicyFor(id), FrameLength: 10})
		for _, size := range []int{0, 1, 9, 10, 11, 35} {
			message := clienttest.Encrypt(t, c, clienttest.Pattern(size), nil)
			r := bufio.NewReader(bytes.NewReader(message))
			h := clienttest.Must[*esdk.Header](t)(esdk.ParseHeader(r))
			head := inspect.Header{Length: h.Length, FrameLength: h.FrameLength, Signed: h.Suite.Signed()}
			body, err := inspect.Walk(r, head, true)
			if err != nil {
				t.Fatal(err)
			}
			frames := int64(max(1, (size+9)/10))
			if body.Frames != frames || int64(len(body.List)) != frames || body.Plaintext != int64(size) || body.Message != int64(len(message)) ||
				body.Body+body.Footer != int64(len(message)-h.Length) || (body.Footer > 0) != h.Suite.Signed() || !body.List[frames-1].Final {
				t.Errorf("%v, %d bytes: %+v", id, size, body)
			}
		}
	}
}

// A wrong number is reported, together with the body.
func TestWalkMismatch(t *testing.T) {
	c := clienttest.New(t, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit, FrameLength: 10})
	message := clienttest.Encrypt(t, c, clienttest.Pattern(35), nil)
	h := clienttest.Must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
	message[h.Length+3] = 7
	r := bufio.NewReader(bytes.NewReader(message[h.Length:]))
	body, err := inspect.Walk(r, inspect.Header{Length: h.Length, FrameLength: 10}, false)
	var malformed *inspect.Error
	if !errors.As(err, &malformed) || malformed.Field != "sequence number" || malformed.Offset != int64(h.Length) || body == nil || body.Frames != 4 {
		t.Errorf("%+v, %v", body, err)
	}
}
