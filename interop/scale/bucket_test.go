package scale

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"esdk"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A bucket has versioning, and is on the server of ESDK_S3_URL. Its objects are
// small messages under the key old, until they are rotated to the key new.
type bucket struct {
	*s3.Client
	name     string
	dir      string // of the files old.key and new.key
	old, new *esdk.Client
	texts    map[string][sha256.Size]byte // the digest of each plaintext, by the key of its object
}

// needs returns the value of a variable that test.sh sets.
func needs(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatalf("%s is not set", variable)
		}
		t.Skipf("NOT RUN on a server: set %s, see interop/scale/test.sh", variable)
	}
	return value
}

func newBucket(t *testing.T, objects int) *bucket {
	t.Helper()
	url := needs(t, "ESDK_S3_URL")
	b := &bucket{
		Client: s3.New(s3.Options{
			BaseEndpoint: aws.String(url), UsePathStyle: true, Region: "us-west-2",
			Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		}),
		name:  fmt.Sprintf("scale-%d", time.Now().UnixNano()),
		dir:   t.TempDir(),
		texts: make(map[string][sha256.Size]byte),
	}
	b.old, b.new = newKey(t, b.dir, "old"), newKey(t, b.dir, "new")
	b.create(t)
	b.fill(t, objects)
	return b
}

// newKey makes the command create a key, and reads its file.
func newKey(t *testing.T, dir, name string) *esdk.Client {
	t.Helper()
	file := filepath.Join(dir, name+".key")
	out, err := exec.Command(command(t), "keygen", "aes", "--name", "corp/"+name, "-o", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, err := readKey(file)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: name, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: keyring})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// readKey reads the last line of a file written by "esdk keygen aes".
func readKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(text))
	return base64.StdEncoding.DecodeString(lines[len(lines)-1])
}

// command returns the command that test.sh built.
func command(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("esdk")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// create retries, since the server answers before it can store anything.
func (b *bucket) create(t *testing.T) {
	t.Helper()
	var err error
	for range 600 {
		if err = b.tryCreate(t.Context()); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal(err)
}

func (b *bucket) tryCreate(ctx context.Context) error {
	_, err := b.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.name})
	var mine *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &mine) {
		return err
	}
	_, err = b.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return err
	}
	return b.put(ctx, "trial", nil)
}

func (b *bucket) put(ctx context.Context, key string, body []byte) error {
	_, err := b.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(body)})
	return err
}

// fill writes messages of up to 4 KiB. Some object keys need escaping in URLs.
func (b *bucket) fill(t *testing.T, objects int) {
	t.Helper()
	for i := range objects {
		b.texts[fmt.Sprintf("lake/%05d%s", i, []string{"", " ü", "%41", "?x=1", "#2", "+"}[i%6])] = sha256.Sum256(plaintext(i))
	}
	b.each(t, func(ctx context.Context, key string) error {
		var i int
		if _, err := fmt.Sscanf(key, "lake/%05d", &i); err != nil {
			return err
		}
		message, _, err := b.old.Encrypt(ctx, plaintext(i), esdk.EncryptionContext{"object": fmt.Sprint(i)})
		if err != nil {
			return err
		}
		return b.put(ctx, key, message)
	})
}

func plaintext(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, i%2048) }

// each calls do for the key of each object, several at once.
func (b *bucket) each(t *testing.T, do func(ctx context.Context, key string) error) {
	t.Helper()
	keys := make(chan string)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for key := range keys {
				if err := do(t.Context(), key); err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
		})
	}
	for key := range b.texts {
		keys <- key
	}
	close(keys)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// url returns the URL of an object for the command.
func (b *bucket) url(key string) string {
	return "s3://" + b.name + "/" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(key)
}

// checkRotated fails unless each object is under the new key, has its
// plaintext, and was replaced once.
func (b *bucket) checkRotated(t *testing.T) {
	t.Helper()
	b.each(t, func(ctx context.Context, key string) error {
		object, err := b.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
		if err != nil {
			return err
		}
		defer object.Body.Close()
		message, err := io.ReadAll(object.Body)
		if err != nil {
			return err
		}
		text, _, err := b.new.Decrypt(ctx, message, nil)
		if err != nil {
			return err
		}
		if sha256.Sum256(text) != b.texts[key] {
			return errors.New("another plaintext")
		}
		return nil
	})
	versions := b.versions(t)
	for key := range b.texts {
		if versions[key] != 2 {
			t.Errorf("%s has %d versions, want 2", key, versions[key])
		}
	}
}

// versions returns the number of versions of each object.
func (b *bucket) versions(t *testing.T) map[string]int {
	t.Helper()
	count := make(map[string]int)
	pages := s3.NewListObjectVersionsPaginator(b.Client, &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: aws.String("lake/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			count[*v.Key]++
		}
	}
	return count
}
