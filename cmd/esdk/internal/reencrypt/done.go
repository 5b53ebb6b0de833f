package reencrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"esdk/hpke"
)

// Done returns the values of --skip-done.
func Done() []string { return []string{doneByKey, doneByHeader, doneNever} }

// The values of --skip-done: how to check that a message already is as
// re-encryption would make it, so that it may be skipped.
const (
	doneByKey    = "key"    // each new key that can decrypt must open the message and verify its header
	doneByHeader = "header" // the header alone, which anybody can have written
	doneNever    = "never"
)

// A doneCheck finds messages that already are as requested. All jobs of a run
// share it.
type doneCheck struct {
	*Reencryption
	verifiers []esdk.Config // one for each new key that decrypts

	mu    sync.Mutex
	model *esdk.Header // header of a message as the run makes it
}

// newDoneCheck returns nil if no message may be skipped.
func (re *Reencryption) newDoneCheck(ctx context.Context) (*doneCheck, error) {
	if !re.InPlace || re.SkipDone == doneNever || re.Base64 {
		return nil, nil
	}
	c := &doneCheck{Reencryption: re}
	if re.SkipDone == doneByHeader {
		return c, nil
	}
	all := true
	for _, k := range re.To.Keys {
		config, err := re.verifier(ctx, k)
		if err == nil {
			c.verifiers = append(c.verifiers, config)
			continue
		}
		all = false // other keys may have its name
		switch {
		case keyspec.IsCannot(err):
			re.warn(k, "the key only encrypts")
		case re.Keys.IsKMSAlias(k):
			re.warn(k, fmt.Sprintf("an alias only encrypts, and its key can't be looked up (%s)", cli.Message(err)))
		case cli.ExitStatus(err) != cli.ExitNoKey: // no message is under a key of -k local that doesn't exist yet
			re.warn(k, fmt.Sprintf("the key doesn't decrypt (%s)", cli.Message(err)))
		}
	}
	if !all {
		return nil, nil
	}
	return c, nil
}

// verifier returns a configuration that decrypts with a new key. An alias of an
// AWS KMS key stands for the key that it refers to now, as it does for the
// messages of this run.
func (re *Reencryption) verifier(ctx context.Context, k string) (config esdk.Config, err error) {
	from := re.From
	from.Keys, from.KeyFlag = []string{k}, settings.KeyFlag
	if re.Keys.IsKMSAlias(k) {
		if from.Keyring, err = re.Keys.ResolveAlias(ctx, k); err != nil {
			return config, err
		}
	}
	config, _, err = re.DecryptConfig(ctx, &from)
	return config, err
}

// warn notes that a new key keeps the run from recognizing finished messages.
func (re *Reencryption) warn(k, why string) {
	re.encryptOnly = append(re.encryptOnly, k)
	re.UI.Note("%s %s: %s, so finished messages aren't recognized, and repeating this run fails on them or encrypts them again; %s",
		settings.KeyFlag, cli.Printable(k), why, recognize)
}

// recognize says how to make finished messages recognizable.
const recognize = "use the key's ARN or private key, or --skip-done header"

// Resumable reports whether a repeated run in place recognizes the messages
// that this one has finished.
func (re *Reencryption) Resumable() bool {
	return re.SkipDone != doneNever && !re.Base64 && len(re.encryptOnly) == 0
}

// explain adds a hint to the error for a message that may be finished already.
func (re *Reencryption) explain(keyUsed string, err error) error {
	if !errors.Is(err, esdk.ErrNoDataKey) || len(re.encryptOnly) == 0 {
		return re.Explain(keyUsed, err)
	}
	hint := fmt.Sprintf("the message may be finished: %s %s only encrypts; %s", settings.KeyFlag, cli.Printable(re.encryptOnly[0]), recognize)
	if names := cli.Hint(err); names != "" {
		hint = names + "; " + hint
	}
	return cli.Hinted(err, "%s", hint)
}

// wholeRead is the length, in bytes, up to which an input is read whole to get
// its header. A request for a part of it would cost more than it saves.
const wholeRead = 64 << 10

// check reports whether a message already is as requested. It leaves the input
// at its start.
func (c *doneCheck) check(ctx context.Context, b *batch.Batch, in place.Input, r *batch.Record) (bool, error) {
	if c == nil {
		return false, nil
	}
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	var src io.Reader = io.NewSectionReader(in, 0, info.Size())
	if info.Size() <= wholeRead {
		message := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
		if _, err := message.ReadFrom(in); err != nil {
			return false, err
		}
		if err := b.Progress.Await(message.Len()); err != nil {
			return false, err
		}
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
		src = message
	}
	done, err := c.checkHeader(ctx, src, r)
	if done && err == nil {
		r.Message = info.Size()
	}
	return done, err
}

// checkHeader compares the fields first that need no key.
func (c *doneCheck) checkHeader(ctx context.Context, src io.Reader, r *batch.Record) (bool, error) {
	start := new(bytes.Buffer) // will hold the header and no more
	header, err := esdk.ParseHeader(io.TeeReader(src, start))
	if err != nil {
		return false, nil // decryption reports the error
	}
	ec := c.context(header, new(batch.Record))
	stored := maps.Clone(ec)
	for _, k := range c.From.Required {
		delete(stored, k)
	}
	if !maps.Equal(stored, header.UserContext()) {
		return false, nil
	}
	model, err := c.like(ctx, ec)
	if err != nil || header.Suite != model.Suite || !sameKeys(header.EncryptedDataKeys, model.EncryptedDataKeys) ||
		header.FrameLength == 0 || c.To.FrameLength != 0 && int64(header.FrameLength) != c.To.FrameLength {
		return false, err
	}
	if c.SkipDone == doneByKey {
		for _, config := range c.verifiers {
			if header, err = c.open(ctx, config, io.MultiReader(bytes.NewReader(start.Bytes()), src)); header == nil {
				return false, err
			}
		}
	}
	r.SetHeader(header, 0)
	return true, nil
}

// open verifies a header. It returns nil if the key can't open the message, or
// if the header isn't authentic: re-encryption then reports the error.
func (c *doneCheck) open(ctx context.Context, config esdk.Config, src io.Reader) (*esdk.Header, error) {
	client, err := esdk.New(config)
	if err != nil {
		return nil, err
	}
	reader, err := client.NewReader(ctx, src, c.reproduced)
	if cli.Retryable(err) || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return reader.Header(), nil
}

// like returns the header of a message encrypted with the options of the run.
// It encrypts the message once.
func (c *doneCheck) like(ctx context.Context, ec esdk.EncryptionContext) (*esdk.Header, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.model != nil {
		return c.model, nil
	}
	client, err := esdk.New(c.newConfig)
	if err != nil {
		return nil, err
	}
	_, header, err := client.Encrypt(ctx, nil, ec)
	if err != nil {
		return nil, fmt.Errorf("computing the new header: %w", err)
	}
	c.model = header
	return header, nil
}

// sameKeys reports whether two messages have data keys under the same wrapping
// keys, in any order.
func sameKeys(a, b []esdk.EncryptedDataKey) bool {
	rest := slices.Clone(b)
	for i := range a {
		at := slices.IndexFunc(rest, func(k esdk.EncryptedDataKey) bool { return sameKey(&a[i], &k) })
		if at < 0 {
			return false
		}
		rest = slices.Delete(rest, at, at+1)
	}
	return len(rest) == 0
}

// sameKey compares the names of keys whose provider info also has data that
// differs in each message.
func sameKey(a, b *esdk.EncryptedDataKey) bool {
	if a.ProviderID != b.ProviderID {
		return false
	}
	if a.ProviderID == branchKeys {
		return bytes.Equal(a.ProviderInfo, b.ProviderInfo) && bytes.Equal(branchVersion(a), branchVersion(b))
	}
	return bytes.Equal(a.ProviderInfo, b.ProviderInfo) || a.ProviderID != hpke.ProviderID && a.KeyName() == b.KeyName()
}

// branchKeys is the provider ID of branch keys.
const branchKeys = "aws-kms-hierarchy"

// branchVersion returns the version of the branch key of an encrypted data key.
// It has 16 bytes and follows a salt of 16 bytes and an IV of 12 bytes.
//
// Specification: framework/aws-kms/aws-kms-hierarchical-keyring.md#ciphertext.
func branchVersion(k *esdk.EncryptedDataKey) []byte {
	const at, size = 16 + 12, 16
	if len(k.Ciphertext) < at+size {
		return nil
	}
	return k.Ciphertext[at : at+size]
}
