package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// A Scheme is a way to encrypt, set up for one request. Functions that it lacks
// are nil.
type Scheme struct {
	// Encrypt and Decrypt append their output to dst.
	Encrypt func(dst, plaintext []byte) ([]byte, error)
	Decrypt func(dst, message []byte) ([]byte, error)

	EncryptStream func(dst io.Writer, plaintext io.Reader) error
	DecryptStream func(dst io.Writer, message io.Reader) error
}

// Schemes returns the operations of schemes, for [Main].
func Schemes(setUp func(*Request) (*Scheme, error)) func(*Request) (Operation, error) {
	o := &opener{setUp: setUp}
	return o.open
}

type opener struct {
	setUp  func(*Request) (*Scheme, error)
	sample *sample
	kept   buffers
}

// buffers are the memory of save and load. With Reuse, the next one takes it
// over. Without, it's garbage afterwards, and may not be collected before the
// next one takes more. The C peer frees it there.
type buffers struct{ plaintext, message []byte }

// A sample serves all requests for its suite and size, so that a message is
// made and checked once.
type sample struct {
	suite              string
	size               int
	plaintext, message []byte
}

func (o *opener) open(r *Request) (Operation, error) {
	if r.Suite != "" && r.Suite != "0478" && r.Suite != "0578" {
		return nil, Unsupported("suite")
	}
	s, err := o.setUp(r)
	if err != nil {
		return nil, err
	}
	if r.Stream && s.EncryptStream == nil {
		return nil, Unsupported("no streaming")
	}
	b := new(buffers)
	if r.Reuse {
		b = &o.kept
	}
	switch r.Op {
	case "save":
		return func() error { return s.save(r, b) }, nil
	case "load":
		return func() error { return s.load(r, b) }, nil
	case "encrypt", "decrypt":
		if err := o.prepare(r, s); err != nil {
			return nil, err
		}
		if r.Op == "encrypt" {
			return operation(r, s.Encrypt, s.EncryptStream, o.sample.plaintext), nil
		}
		return operation(r, s.Decrypt, s.DecryptStream, o.sample.message), nil
	}
	return nil, Unsupported("operation " + r.Op)
}

func operation(
	r *Request,
	once func(dst, in []byte) ([]byte, error),
	stream func(dst io.Writer, in io.Reader) error,
	in []byte,
) Operation {
	if r.Stream {
		if r.Copied {
			return func() error { return stream(sink{}, readerOnly(bytes.NewReader(in))) }
		}
		return func() error { return stream(sink{}, bytes.NewReader(in)) }
	}
	var out []byte
	return func() error {
		result, err := once(out[:0], in)
		if r.Reuse {
			out = result
		}
		return err
	}
}

// prepare makes the sample of a request in each available way, and checks that
// it decrypts.
func (o *opener) prepare(r *Request, s *Scheme) error {
	if o.sample != nil && o.sample.suite == r.Suite && o.sample.size == r.Size {
		return nil
	}
	o.sample = nil // free it before the next is made
	plaintext := Pattern(r.Size)
	if s.EncryptStream != nil {
		if err := s.checkStreams(plaintext); err != nil {
			return err
		}
	}
	message, err := s.Encrypt(nil, plaintext)
	if err != nil {
		return err
	}
	back, err := s.Decrypt(nil, message)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, plaintext) {
		return errRoundTrip
	}
	o.sample = &sample{r.Suite, r.Size, plaintext, message}
	return nil
}

func (s *Scheme) checkStreams(plaintext []byte) error {
	message := new(bytes.Buffer)
	if err := s.EncryptStream(message, bytes.NewReader(plaintext)); err != nil {
		return err
	}
	back := &checker{want: plaintext}
	if err := s.DecryptStream(back, message); err != nil {
		return err
	}
	if back.differs || len(back.want) > 0 {
		return errRoundTrip
	}
	return nil
}

var errRoundTrip = errors.New("the plaintext that came back is another one")

// save encrypts to a file, for measurements of memory.
func (s *Scheme) save(r *Request, b *buffers) (err error) {
	if !r.Stream {
		b.plaintext = appendPattern(b.plaintext[:0], r.Size)
		if b.message, err = s.Encrypt(b.message[:0], b.plaintext); err != nil {
			return err
		}
		return os.WriteFile(r.Path, b.message, 0o600)
	}
	f, err := os.Create(r.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Some streams close a writer that has a Close method.
	return s.EncryptStream(struct{ io.Writer }{f}, &source{left: r.Size})
}

// load decrypts a file.
func (s *Scheme) load(r *Request, b *buffers) error {
	f, err := os.Open(r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	n := 0
	if r.Stream {
		if err := s.DecryptStream(counter{&n}, struct{ io.Reader }{f}); err != nil {
			return err
		}
	} else {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		b.message = slices.Grow(b.message[:0], int(info.Size()))[:info.Size()]
		if _, err := io.ReadFull(f, b.message); err != nil {
			return err
		}
		if b.plaintext, err = s.Decrypt(b.plaintext[:0], b.message); err != nil {
			return err
		}
		n = len(b.plaintext)
	}
	if n != r.Size {
		return fmt.Errorf("%d bytes of %d came back", n, r.Size)
	}
	return nil
}

// Streams returns the scheme of a library that has only streams, from its
// constructors.
func Streams(
	encrypt func(dst io.Writer) (io.WriteCloser, error),
	decrypt func(message io.Reader) (io.Reader, error),
) *Scheme {
	s := &Scheme{
		EncryptStream: func(dst io.Writer, plaintext io.Reader) error {
			w, err := encrypt(dst)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, plaintext); err != nil {
				return err
			}
			return w.Close()
		},
		DecryptStream: func(dst io.Writer, message io.Reader) error {
			r, err := decrypt(message)
			if err != nil {
				return err
			}
			_, err = io.Copy(dst, r)
			return err
		},
	}
	s.addInMemory()
	return s
}

// addInMemory adds one-shot calls to a scheme that only streams. They allocate
// their memory once.
func (s *Scheme) addInMemory() {
	s.Encrypt = func(dst, plaintext []byte) ([]byte, error) {
		// None of the formats adds more than this.
		out := bytes.NewBuffer(slices.Grow(dst, len(plaintext)+len(plaintext)/128+4096))
		err := s.EncryptStream(out, bytes.NewReader(plaintext))
		return out.Bytes(), err
	}
	s.Decrypt = func(dst, message []byte) ([]byte, error) {
		out := bytes.NewBuffer(slices.Grow(dst, len(message)))
		err := s.DecryptStream(out, bytes.NewReader(message))
		return out.Bytes(), err
	}
}
