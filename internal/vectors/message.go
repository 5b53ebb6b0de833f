package vectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"esdk"
	"esdk/internal/errtext"
)

// A messageTest decrypts a message in each possible way.
type messageTest struct {
	ciphertext, plaintext func() ([]byte, error)
	config                esdk.Config
	reproduced            esdk.EncryptionContext

	// The header must have these, if they are known.
	suite   esdk.SuiteID
	context esdk.EncryptionContext
}

func (t *messageTest) opens(ctx context.Context, cmm esdk.CMM) error {
	message, err := t.ciphertext()
	if err != nil {
		return err
	}
	plaintext, err := t.plaintext()
	if err != nil {
		return err
	}
	for _, way := range t.ways() {
		got, h, err := way.decrypt(ctx, t.configure(way, cmm), message, t.reproduced)
		if err == nil && !bytes.Equal(got, plaintext) {
			err = errors.New("another plaintext came out")
		}
		if err == nil {
			err = t.checkHeader(h)
		}
		if err != nil {
			return fmt.Errorf("decrypting %s: %w", way.name, errtext.Bare(err))
		}
	}
	return nil
}

func (t *messageTest) checkHeader(h *esdk.Header) error {
	if t.suite != 0 && h.Suite != t.suite {
		return fmt.Errorf("header has suite %v, need %v", h.Suite, t.suite)
	}
	given := maps.Clone(h.EncryptionContext)
	delete(given, "aws-crypto-public-key")
	if t.context != nil && !maps.Equal(given, t.context) {
		return fmt.Errorf("header has encryption context %q, need %q", given, t.context)
	}
	return nil
}

// refused also checks that all ways fail for the same reason.
func (t *messageTest) refused(ctx context.Context, cmm esdk.CMM) (refusal, failure error) {
	message, err := t.ciphertext()
	if err != nil {
		return nil, err
	}
	for _, way := range t.ways() {
		_, _, err := way.decrypt(ctx, t.configure(way, cmm), message, t.reproduced)
		switch {
		case err == nil:
			return nil, fmt.Errorf("decrypting %s: a plaintext came out", way.name)
		case refusal == nil:
			refusal = err
		case refusal.Error() != err.Error():
			return nil, fmt.Errorf("decrypting %s: %w, but otherwise: %w", way.name, errtext.Bare(err), errtext.Bare(refusal))
		}
	}
	return refusal, nil
}

func (t *messageTest) configure(w way, cmm esdk.CMM) esdk.Config {
	c := t.config
	c.CMM = cmm
	if w.verifyFirst {
		c.Release = esdk.VerifyFirst
	}
	return c
}

// ways returns the ways of decryption that fit the configuration.
func (t *messageTest) ways() []way {
	if t.config.Release == esdk.VerifyAtEOF {
		return ways
	}
	// Another release policy is part of the test.
	return ways[:releasing]
}

// A way decrypts a message through one part of the API.
type way struct {
	name        string
	verifyFirst bool
	read        func(ctx context.Context, c *esdk.Client, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error)
}

func (w *way) decrypt(ctx context.Context, c esdk.Config, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error) {
	client, err := esdk.New(c)
	if err != nil {
		return nil, nil, err
	}
	return w.read(ctx, client, message, ec)
}

// releasing is the number of ways that support any release policy.
const releasing = 3

var ways = []way{
	{"at once", false, decryptAtOnce},
	{"by Read", false, decryptByRead},
	{"by WriteTo", false, decryptByWriteTo},
	{"by Read, verified first", true, decryptByRead},
	{"by WriteTo, verified first", true, decryptByWriteTo},
	{"by ReadAt, verified first", true, decryptByReadAt},
}

func decryptAtOnce(ctx context.Context, c *esdk.Client, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error) {
	return c.Decrypt(ctx, message, ec)
}

// decryptByRead reads odd pieces, from a source that returns odd pieces and
// can't seek.
func decryptByRead(ctx context.Context, c *esdk.Client, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error) {
	sizes := pieceSizes(len(message))
	r, err := c.NewReader(ctx, &pieces{r: bytes.NewReader(message), sizes: sizes}, ec)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := io.ReadAll(&pieces{r: r, sizes: sizes})
	return plaintext, r.Header(), err
}

func decryptByWriteTo(ctx context.Context, c *esdk.Client, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error) {
	r, err := c.NewReader(ctx, bytes.NewReader(message), ec)
	if err != nil {
		return nil, nil, err
	}
	var plaintext bytes.Buffer
	_, err = r.WriteTo(&plaintext)
	return plaintext.Bytes(), r.Header(), err
}

// decryptByReadAt reads pieces that end within frames. Unframed messages can't
// be read this way.
func decryptByReadAt(ctx context.Context, c *esdk.Client, message []byte, ec esdk.EncryptionContext) ([]byte, *esdk.Header, error) {
	if h, err := esdk.ParseHeader(bytes.NewReader(message)); err == nil && h.FrameLength == 0 {
		return decryptAtOnce(ctx, c, message, ec)
	}
	r, err := c.NewReaderAt(ctx, bytes.NewReader(message), int64(len(message)), ec)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := io.ReadAll(&pieces{r: io.NewSectionReader(r, 0, r.Size()), sizes: pieceSizes(len(message))})
	return plaintext, r.Header(), err
}

// pieces reads pieces of alternating sizes.
type pieces struct {
	r     io.Reader
	sizes []int
	next  int
}

// pieceSizes returns the sizes of reads. Small messages are read byte by byte.
func pieceSizes(length int) []int {
	if length <= 4<<10 {
		return []int{1}
	}
	return []int{1, 7, 16, 4095, 333, 4096, 64 << 10}
}

func (p *pieces) Read(b []byte) (int, error) {
	size := p.sizes[p.next%len(p.sizes)]
	p.next++
	return p.r.Read(b[:min(size, len(b))])
}
