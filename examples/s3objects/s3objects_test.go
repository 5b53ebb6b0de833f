package s3objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"esdk"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A store is SeaweedFS behind a proxy with TLS, as S3 has it. The proxy counts
// requests and has some fail.
type store struct {
	*Bucket
	plain string // the URL without TLS

	mu      sync.Mutex
	counts  map[string]int
	fail    int      // so many PUTs
	bodies  []string // how those that failed began
	trailer string   // of the last PUT
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func keyring(t testing.TB, key byte) esdk.Keyring {
	return must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "s3", Key: bytes.Repeat([]byte{key}, 32)}))
}

func options(endpoint string, client *http.Client) s3.Options {
	return s3.Options{
		Region: "us-west-2", BaseEndpoint: &endpoint, UsePathStyle: true, HTTPClient: client,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, // the defaults of package config
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil // of interop/backends/seaweedfs.sh
		}),
	}
}

func open(t *testing.T) *store {
	plain := os.Getenv("ESDK_S3_URL")
	if plain == "" {
		if os.Getenv("ESDK_REQUIRE_SERVERS") != "" {
			t.Fatal("ESDK_S3_URL is not set")
		}
		t.Skip("NOT RUN: ESDK_S3_URL is not set; examples/run.sh s3objects starts SeaweedFS")
	}
	s := &store{plain: plain, counts: make(map[string]int)}
	target := must[*url.URL](t)(url.Parse(plain))
	quiet := log.New(io.Discard, "", 0) // bodies that fail are meant to
	forward := &httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.refuse(r) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	proxy.Config.ErrorLog = quiet
	t.Cleanup(proxy.Close)
	client := s3.New(options(proxy.URL, proxy.Client()))
	bucket := "recipes" // one for all: SeaweedFS gives each some of its volumes
	s.Bucket = must[*Bucket](t)(New(keyring(t, 1), client, bucket))
	s.again = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})

	// SeaweedFS answers some seconds before it takes an object.
	for try := 1; ; try++ {
		_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
		var owned *types.BucketAlreadyOwnedByYou
		var exists *types.BucketAlreadyExists
		if err == nil || errors.As(err, &owned) || errors.As(err, &exists) {
			_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("ready"), Body: strings.NewReader("ready")})
		}
		if err == nil {
			break
		}
		if try == 60 {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	s.empty(t)
	s.reset()
	return s
}

// empty removes what another test has left.
func (s *store) empty(t *testing.T) {
	objects, err := s.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.name})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects.Contents {
		if _, err := s.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &s.name, Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.counts)
	s.bodies = nil
}

// count returns how many requests of a method there were.
func (s *store) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func (s *store) refuse(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[r.Method]++
	if r.Method != "PUT" {
		return false
	}
	s.trailer = r.Header.Get("X-Amz-Trailer")
	if s.fail == 0 {
		return false
	}
	s.fail--
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body[:min(len(body), 200)]))
	return true
}

func (s *store) get(t testing.TB, key string) ([]byte, error) {
	o, err := s.Get(t.Context(), key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(o)
}

// raw returns an object as it is.
func (s *store) raw(t testing.TB, key string) []byte {
	t.Helper()
	out, err := s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.name, Key: &key}, quietly)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	return must[[]byte](t)(io.ReadAll(out.Body))
}

func (s *store) write(t testing.TB, key string, object []byte) {
	t.Helper()
	_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.name, Key: &key, Body: bytes.NewReader(object)})
	if err != nil {
		t.Fatal(err)
	}
}

// wantNone checks that there is neither an object nor an upload that has begun.
func (s *store) wantNone(t *testing.T, key string) {
	t.Helper()
	var none *types.NoSuchKey
	if _, err := s.Get(t.Context(), key); !errors.As(err, &none) {
		t.Errorf("%s: %v", key, err)
	}
	uploads, err := s.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.name})
	if err != nil || len(uploads.Uploads) > 0 {
		t.Errorf("%s: %d uploads are left, %v", key, len(uploads.Uploads), err)
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestPutAndGet(t *testing.T) {
	s := open(t)
	for _, n := range []int{0, 1, 64 << 10, 1_000_000} {
		plaintext := pattern(n)
		if err := s.Put(t.Context(), "dir/object", bytes.NewReader(plaintext), int64(n)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.get(t, "dir/object"); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(got), err)
		}
		raw := s.raw(t, "dir/object")
		if _, _, err := s.client.Decrypt(t.Context(), raw, s.bound("dir/object")); err != nil {
			t.Errorf("%d bytes: what is stored isn't the message: %v", n, err)
		}
	}
	var none *types.NoSuchKey
	if _, err := s.Get(t.Context(), "nothing"); !errors.As(err, &none) {
		t.Errorf("no object: %v", err)
	}
}

func TestUpload(t *testing.T) {
	s := open(t)
	for _, n := range []int{0, 1000, 20 << 20} { // the last one in three parts
		plaintext := pattern(n)
		if err := s.Upload(t.Context(), "object", bytes.NewReader(plaintext)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.get(t, "object"); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(got), err)
		}
	}
	s.reset()
	s.fail = 2 // parts are sent again
	if err := s.Upload(t.Context(), "object", bytes.NewReader(pattern(20<<20))); err != nil || s.count("PUT") != 5 {
		t.Errorf("%d requests, %v", s.count("PUT"), err)
	}
}

// Parts cost a request each, and few more for the header and the end.
func TestOpen(t *testing.T) {
	s := open(t)
	plaintext := pattern(20 << 20)
	if err := s.Upload(t.Context(), "object", bytes.NewReader(plaintext)); err != nil {
		t.Fatal(err)
	}
	s.reset()
	r, err := s.Open(t.Context(), "object")
	if err != nil || r.Size() != int64(len(plaintext)) {
		t.Fatal(err)
	}
	if s.count("HEAD") != 1 || s.count("GET") != 2 {
		t.Errorf("Open made %d requests of HEAD, %d of GET", s.count("HEAD"), s.count("GET"))
	}
	s.reset()
	p := make([]byte, 100_000)
	if _, err := r.ReadAt(p, 10_000_000); err != nil || !bytes.Equal(p, plaintext[10_000_000:10_100_000]) || s.count("GET") != 1 {
		t.Errorf("%d requests, %v", s.count("GET"), err)
	}
	end := must[[]byte](t)(io.ReadAll(io.NewSectionReader(r, r.Size()-10, 100)))
	if !bytes.Equal(end, plaintext[len(plaintext)-10:]) {
		t.Errorf("the end is %x", end)
	}
	if err := s.Put(t.Context(), "object", bytes.NewReader(plaintext), int64(len(plaintext))); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadAt(p, 1_000_000); err == nil || n > 0 || !strings.Contains(err.Error(), "412") {
		t.Errorf("the object was replaced: %d, %v", n, err)
	}
}

// Each attempt of Put is another message.
func TestPutAgain(t *testing.T) {
	s := open(t)
	plaintext := pattern(200_000)
	src := bytes.NewReader(append([]byte("before"), plaintext...))
	src.Seek(6, io.SeekStart)
	s.fail = 2
	if err := s.Put(t.Context(), "object", src, int64(len(plaintext))); err != nil || s.count("PUT") != 3 {
		t.Errorf("%d requests, %v", s.count("PUT"), err)
	}
	if got, err := s.get(t, "object"); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if len(s.bodies) != 2 || s.bodies[0] == s.bodies[1] || len(s.bodies[0]) < 200 {
		t.Errorf("the attempts began with %q", s.bodies)
	}
	s.reset()
	s.fail = 3
	if err := s.Put(t.Context(), "failing", bytes.NewReader(plaintext), int64(len(plaintext))); err == nil || !strings.Contains(err.Error(), "503") || s.count("PUT") != 3 {
		t.Errorf("%d requests, %v", s.count("PUT"), err)
	}
	s.wantNone(t, "failing")
}

// Without the loop of Put, the AWS SDK hides the first failure behind another
// one, and without TLS it doesn't begin.
func TestBodyIsReadOnce(t *testing.T) {
	s := open(t)
	put := func(client *s3.Client) error {
		body := must[*esdk.EncryptingReader](t)(s.client.NewEncryptingReader(t.Context(), strings.NewReader("secret"), 6, s.bound("object")))
		length, _ := body.Size()
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.name, Key: aws.String("object"), Body: body, ContentLength: &length})
		return err
	}
	s.fail = 1
	if err := put(s.s3); err == nil || !strings.Contains(err.Error(), "not seekable") || strings.Contains(err.Error(), "503") {
		t.Errorf("sent again: %v", err)
	}
	if err := put(s3.New(options(s.plain, http.DefaultClient))); err == nil || !strings.Contains(err.Error(), "unseekable stream is not supported without TLS") {
		t.Errorf("without TLS: %v", err)
	}
	s.wantNone(t, "object")
	b := must[*Bucket](t)(New(keyring(t, 1), s3.New(options(s.plain, http.DefaultClient)), s.name))
	if err := b.Upload(t.Context(), "object", strings.NewReader("secret")); err != nil {
		t.Errorf("Upload without TLS: %v", err)
	}
	if got, err := s.get(t, "object"); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
}

// For stores that don't know trailing checksums, there is a setting.
func TestChecksums(t *testing.T) {
	s := open(t)
	for setting, trailer := range map[aws.RequestChecksumCalculation]string{
		aws.RequestChecksumCalculationWhenSupported: "x-amz-checksum-crc32",
		aws.RequestChecksumCalculationWhenRequired:  "",
	} {
		o := s.s3.Options()
		o.RequestChecksumCalculation = setting
		b := must[*Bucket](t)(New(keyring(t, 1), s3.New(o), s.name))
		if err := b.Put(t.Context(), "object", strings.NewReader("secret"), 6); err != nil || s.trailer != trailer {
			t.Errorf("%v: trailer %q, %v", setting, s.trailer, err)
		}
		if got, err := s.get(t, "object"); err != nil || string(got) != "secret" {
			t.Errorf("%v: %q, %v", setting, got, err)
		}
	}
}

func TestBadSources(t *testing.T) {
	s := open(t)
	broken := errors.New("broken source")
	for name, c := range map[string]struct {
		upload func(ctx context.Context, key string) error
		want   error
	}{
		"shorter": {func(ctx context.Context, key string) error {
			return s.Put(ctx, key, strings.NewReader("secret"), 7)
		}, io.ErrUnexpectedEOF},
		"broken": {func(ctx context.Context, key string) error {
			return s.Upload(ctx, key, iotest.ErrReader(broken))
		}, broken},
		"broken-later": {func(ctx context.Context, key string) error {
			return s.Upload(ctx, key, io.MultiReader(bytes.NewReader(pattern(20<<20)), iotest.ErrReader(broken)))
		}, broken},
		"cancelled": {func(ctx context.Context, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			stop := readerFunc(func([]byte) (int, error) { cancel(); return 0, nil })
			return s.Upload(ctx, key, io.MultiReader(bytes.NewReader(pattern(20<<20)), stop))
		}, context.Canceled},
	} {
		s.reset()
		if err := c.upload(t.Context(), name); !errors.Is(err, c.want) || name == "shorter" && s.count("PUT") > 1 {
			t.Errorf("%s: %v", name, err)
		}
		s.wantNone(t, name)
	}
	// A longer source is read up to the length.
	if err := s.Put(t.Context(), "longer", strings.NewReader("secret"), 5); err != nil {
		t.Error(err)
	}
	if got, err := s.get(t, "longer"); err != nil || string(got) != "secre" {
		t.Errorf("%q, %v", got, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestBadObjects(t *testing.T) {
	s := open(t)
	plaintext := pattern(1_000_000)
	if err := s.Put(t.Context(), "object", bytes.NewReader(plaintext), int64(len(plaintext))); err != nil {
		t.Fatal(err)
	}
	message := s.raw(t, "object")
	if _, err := s.s3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &s.name, Key: aws.String("copy"), CopySource: aws.String(s.name + "/object")}); err != nil {
		t.Fatal(err)
	}
	encrypt := func(c esdk.Config) []byte {
		client := must[*esdk.Client](t)(esdk.New(c))
		m, _, err := client.Encrypt(t.Context(), plaintext, s.bound("x"))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	unsigned := esdk.AES256GCMHKDFSHA512Commit
	s.write(t, "x", encrypt(esdk.Config{Keyring: keyring(t, 1)}))
	if got, err := s.get(t, "x"); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("a signed message: %d bytes, %v", len(got), err)
	}
	var format *esdk.FormatError
	isFormat := func(err error) bool { return errors.As(err, &format) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	changed := bytes.Clone(message)
	changed[len(changed)-1] ^= 1
	if b, err := New(nil, s.s3, s.name); err == nil || b != nil {
		t.Error("New takes no keyring")
	}
	cases := map[string]struct {
		key       string
		object    []byte
		get, open func(error) bool
	}{
		"copied":      {"copy", nil, is(esdk.ErrEncryptionContext), is(esdk.ErrEncryptionContext)},
		"changed":     {"object", changed, is(esdk.ErrAuthentication), is(esdk.ErrAuthentication)},
		"truncated":   {"object", message[:len(message)-1], is(io.ErrUnexpectedEOF), func(err error) bool { return err != nil }},
		"continued":   {"object", append(bytes.Clone(message), 0), isFormat, func(err error) bool { return err != nil }},
		"empty":       {"object", []byte{}, isFormat, isFormat},
		"no message":  {"object", plaintext, isFormat, isFormat},
		"another key": {"x", encrypt(esdk.Config{Keyring: keyring(t, 2), Suite: unsigned}), is(esdk.ErrNoDataKey), is(esdk.ErrNoDataKey)},
		"long frames": {"x", encrypt(esdk.Config{Keyring: keyring(t, 1), Suite: unsigned, FrameLength: 2 << 20}), is(esdk.ErrLimit), is(esdk.ErrLimit)},
		"signed":      {"x", encrypt(esdk.Config{Keyring: keyring(t, 1)}), is(nil), is(esdk.ErrSigned)},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		if c.object != nil {
			s.write(t, c.key, c.object)
		}
		got, err := s.get(t, c.key)
		if !c.get(err) || !bytes.HasPrefix(plaintext, got) {
			t.Errorf("%s: Get returned %d bytes, %v", name, len(got), err)
		}
		if r, err := s.Open(t.Context(), c.key); err == nil || !c.open(err) {
			t.Errorf("%s: Open returned %v, %v", name, r, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	s := open(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			key, plaintext := fmt.Sprint(n), pattern(100_000+n)
			if err := s.Put(t.Context(), key, bytes.NewReader(plaintext), int64(len(plaintext))); err != nil {
				t.Error(err)
			}
			if got, err := s.get(t, key); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
}

// Without a network.
func BenchmarkBody(b *testing.B) {
	bucket := must[*Bucket](b)(New(keyring(b, 1), s3.New(s3.Options{}), "bucket"))
	for _, n := range []int{1 << 10, 1 << 20} {
		plaintext := pattern(n)
		b.Run(fmt.Sprintf("%d KiB", n>>10), func(b *testing.B) {
			var length int64
			for b.Loop() {
				body := must[*esdk.EncryptingReader](b)(bucket.client.NewEncryptingReader(b.Context(), bytes.NewReader(plaintext), int64(n), bucket.bound("object")))
				length = must[int64](b)(io.Copy(io.Discard, body))
			}
			b.ReportMetric(float64(length-int64(n)), "bytes-added/object")
		})
	}
}
