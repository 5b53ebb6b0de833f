package migrating

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
	"github.com/tink-crypto/tink-go/v2/tink"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// The Go code of the page is a part of this file; see TestGoBlocks.

func official(ctx context.Context, arn string, plaintext []byte) error {
	kr, err := awskms.NewKeyring(awskms.Config{}, arn)
	if err != nil {
		return err
	}
	client, err := esdk.New(esdk.Config{Keyring: kr, MaxEncryptedDataKeys: 3})
	if err != nil {
		return err
	}
	message, _, err := client.Encrypt(ctx, plaintext, esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		return err
	}
	again, header, err := client.Decrypt(ctx, message, esdk.EncryptionContext{"tenant": "17"})
	if err == nil && (!bytes.Equal(again, plaintext) || header.EncryptionContext["tenant"] != "17") {
		err = fmt.Errorf("%q with %v", again, header.EncryptionContext)
	}
	return err
}

func explain(err error) string {
	var noKey *esdk.NoDataKeyError
	switch {
	case errors.Is(err, esdk.ErrAuthentication):
		return "changed, or another key"
	case errors.Is(err, esdk.ErrEncryptionContext):
		return "another encryption context"
	case errors.As(err, &noKey):
		return fmt.Sprintf("no key: %d attempts", len(noKey.Errors))
	case errors.Is(err, esdk.ErrCommitmentPolicy), errors.Is(err, esdk.ErrLimit):
		return "refused"
	}
	return ""
}

func move(ctx context.Context, client *esdk.Client, dst io.Writer, streaming tink.StreamingAEAD, src io.Reader, associatedData []byte) error {
	old, err := streaming.NewDecryptingReader(src, associatedData) // a StreamingAEAD of Tink
	if err != nil {
		return err
	}
	w, err := client.NewWriter(ctx, dst, esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, old); err != nil {
		return err
	}
	return w.Close()
}

func rotated(ctx context.Context, newKey, oldKey esdk.Keyring) error {
	toEncrypt, err := esdk.New(esdk.Config{Keyring: newKey})
	if err != nil {
		return err
	}
	both, err := esdk.NewMultiKeyring(newKey, oldKey)
	if err != nil {
		return err
	}
	toDecrypt, err := esdk.New(esdk.Config{Keyring: both})
	if err != nil {
		return err
	}
	oldMessage, err := esdk.Encrypt(ctx, oldKey, []byte("old"), nil)
	if err != nil {
		return err
	}
	newMessage, header, err := toEncrypt.Encrypt(ctx, []byte("new"), nil)
	if err != nil {
		return err
	}
	if len(header.EncryptedDataKeys) != 1 {
		return errors.New("the new message is under the old key, too")
	}
	for want, message := range map[string][]byte{"old": oldMessage, "new": newMessage} {
		if got, _, err := toDecrypt.Decrypt(ctx, message, nil); err != nil || string(got) != want {
			return fmt.Errorf("%q, %w", got, err)
		}
	}
	return nil
}

func rawKeyring(t *testing.T, name string) esdk.Keyring {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "test", Name: name, Key: bytes.Repeat([]byte(name[:1]), 32)})
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func TestOfficial(t *testing.T) {
	server := kmssim.New()
	defer server.Close()
	simulate(t, server)
	if err := official(t.Context(), server.CreateKey("us-west-2", types.KeySpecSymmetricDefault), []byte("text")); err != nil {
		t.Error(err)
	}
}

// TestExplain brings about each of the errors.
func TestExplain(t *testing.T) {
	ctx, kr := t.Context(), rawKeyring(t, "a")
	message, err := esdk.Encrypt(ctx, kr, []byte("text"), esdk.EncryptionContext{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = esdk.Decrypt(ctx, rawKeyring(t, "b"), message, nil)
	if got := explain(err); got != "no key: 0 attempts" {
		t.Errorf("another key: %q", got)
	}
	_, err = esdk.Decrypt(ctx, kr, message, esdk.EncryptionContext{"a": "c"})
	if got := explain(err); got != "another encryption context" {
		t.Errorf("another context: %q", got)
	}
	strict, err := esdk.New(esdk.Config{Keyring: kr, MaxPlaintextLength: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = strict.Decrypt(ctx, message, nil)
	if got := explain(err); got != "refused" {
		t.Errorf("too long: %q", got)
	}
	message[len(message)-1] ^= 1
	_, err = esdk.Decrypt(ctx, kr, message, nil)
	if got := explain(err); got != "changed, or another key" {
		t.Errorf("changed: %q, %v", got, err)
	}
}

// TestMove moves a message of Tink, and leaves no complete one if it is cut
// short.
func TestMove(t *testing.T) {
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF4KBKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	streaming, err := streamingaead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	plaintext := bytes.Repeat([]byte("text"), 10_000)
	var old, message bytes.Buffer
	w, err := streaming.NewEncryptingWriter(&old, []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plaintext); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: rawKeyring(t, "a")})
	if err != nil {
		t.Fatal(err)
	}
	if err := move(t.Context(), client, &message, streaming, bytes.NewReader(old.Bytes()), []byte("aad")); err != nil {
		t.Fatal(err)
	}
	got, _, err := client.Decrypt(t.Context(), message.Bytes(), esdk.EncryptionContext{"tenant": "17"})
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	message.Reset()
	if err := move(t.Context(), client, &message, streaming, bytes.NewReader(old.Bytes()[:old.Len()-1]), []byte("aad")); err == nil {
		t.Error("a message that was cut short is moved")
	}
	if _, _, err := client.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
		t.Error("a part is a complete message")
	}
}

func TestRotated(t *testing.T) {
	if err := rotated(t.Context(), rawKeyring(t, "new"), rawKeyring(t, "old")); err != nil {
		t.Error(err)
	}
}
