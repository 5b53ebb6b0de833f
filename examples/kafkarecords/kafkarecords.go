// Package kafkarecords keeps the values of Kafka records encrypted.
package kafkarecords

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"esdk"
	"esdk/caching"
)

// ErrKey is returned for a value that was encrypted for another key of the
// topic.
var ErrKey = errors.New("kafkarecords: value of another record key")

// A Codec encrypts and decrypts the values of records. It is safe for
// concurrent use.
//
// A value is bound to its topic and key. Keys, headers and timestamps stay as
// they are, since brokers partition and compact by the key: they are readable,
// and only the key is authenticated. A record may be repeated, reordered or
// left out, and a tombstone, whose value is nil, may be from anybody who can
// write to the topic.
type Codec struct{ client *esdk.Client }

// NewCodec returns a Codec over a keyring. A data key serves all values of a
// topic for five minutes: the topic is in the encryption context, which
// messages under one data key have in common. The record key isn't, or else
// each key would cost a call to AWS KMS. It's encrypted with the value.
func NewCodec(kr esdk.Keyring) (*Codec, error) {
	cmm, err := caching.NewCMM(caching.Config{Keyring: kr, MaxAge: 5 * time.Minute, MaxMessages: 1 << 20})
	if err != nil {
		return nil, err
	}
	client, err := esdk.New(esdk.Config{
		CMM:                  cmm,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // a signature would cost a millisecond
		MaxEncryptedDataKeys: 3,
		MaxPlaintextLength:   1 << 20, // a broker takes no more by default
		MaxHeaderLength:      16 << 10,
	})
	return &Codec{client}, err
}

// Seal returns a copy of a record whose value is encrypted. A nil value stays
// nil, so that it still deletes its key when the topic is compacted.
func (c *Codec) Seal(ctx context.Context, r *kgo.Record) (*kgo.Record, error) {
	sealed := *r
	if r.Value == nil {
		return &sealed, nil
	}
	var err error
	plaintext := append(keyPrefix(r.Key), r.Value...)
	sealed.Value, _, err = c.client.Encrypt(ctx, plaintext, esdk.EncryptionContext{"topic": r.Topic})
	if err != nil {
		return nil, fmt.Errorf("kafkarecords: %w", err)
	}
	return &sealed, nil
}

// Open is the reverse of Seal. No value that wasn't encrypted passes, whatever
// the headers say.
func (c *Codec) Open(ctx context.Context, r *kgo.Record) (*kgo.Record, error) {
	opened := *r
	if r.Value == nil {
		return &opened, nil
	}
	plaintext, _, err := c.client.Decrypt(ctx, r.Value, esdk.EncryptionContext{"topic": r.Topic})
	if err != nil {
		return nil, fmt.Errorf("kafkarecords: %w", err)
	}
	value, found := bytes.CutPrefix(plaintext, keyPrefix(r.Key))
	if !found {
		return nil, ErrKey
	}
	opened.Value = value
	return &opened, nil
}

// keyPrefix is the key behind its length and 1. 0 stands for no key, which
// isn't the empty one. No prefix begins another one.
func keyPrefix(key []byte) []byte {
	if key == nil {
		return []byte{0}
	}
	return append(binary.AppendUvarint(nil, uint64(len(key))+1), key...)
}

// Produce encrypts records and sends them as a batch. If one can't be
// encrypted, none is sent.
func (c *Codec) Produce(ctx context.Context, client *kgo.Client, records ...*kgo.Record) error {
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		sealed, err := c.Seal(ctx, r)
		if err != nil {
			return err
		}
		batch[i] = sealed
	}
	return client.ProduceSync(ctx, batch...).FirstErr()
}

// ConsumerOptions are for the client of Consume, which commits offsets itself.
func ConsumerOptions(group string, topics ...string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll()}
}

// Consume passes decrypted records to handle, until an error, such as that of
// the context.
//
// A poisoned record, which will never open, goes to the topic deadLetters as it
// is. Any other error ends Consume before the offset is committed, so that the
// record comes again: an outage of a key service loses nothing. A record may be
// handled twice, and be in deadLetters twice.
func (c *Codec) Consume(ctx context.Context, client *kgo.Client, deadLetters string, handle func(context.Context, *kgo.Record) error) error {
	for {
		fetches := client.PollRecords(ctx, 1000)
		err := fetches.Err()
		for _, r := range fetches.Records() {
			if err == nil {
				err = c.consume(ctx, client, r, deadLetters, handle)
			}
		}
		if err == nil {
			err = client.CommitRecords(ctx, fetches.Records()...)
		}
		client.AllowRebalance()
		if err != nil {
			return err
		}
	}
}

func (c *Codec) consume(ctx context.Context, client *kgo.Client, r *kgo.Record, deadLetters string, handle func(context.Context, *kgo.Record) error) error {
	opened, err := c.Open(ctx, r)
	switch {
	case err == nil:
		return handle(ctx, opened)
	case !Poisoned(err):
		return fmt.Errorf("%s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	letter := &kgo.Record{Topic: deadLetters, Key: r.Key, Value: r.Value, Headers: append(slices.Clip(r.Headers),
		kgo.RecordHeader{Key: "dead-letter-topic", Value: []byte(r.Topic)},
		kgo.RecordHeader{Key: "dead-letter-partition", Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		kgo.RecordHeader{Key: "dead-letter-offset", Value: strconv.AppendInt(nil, r.Offset, 10)},
		kgo.RecordHeader{Key: "dead-letter-error", Value: []byte(err.Error())}, // has no plaintext
	)}
	return client.ProduceSync(ctx, letter).FirstErr()
}

// Poisoned reports whether an error is the record's, and would be the same at
// any time. That no data key decrypts isn't: a key service may be out of reach,
// or the consumer lack a permission. But AWS KMS says so if a data key isn't
// authentic.
func Poisoned(err error) bool {
	for _, target := range []error{ErrKey, esdk.ErrAuthentication, esdk.ErrCommitment, esdk.ErrCommitmentPolicy, esdk.ErrLimit} {
		if errors.Is(err, target) {
			return true
		}
	}
	_, malformed := errors.AsType[*esdk.FormatError](err)
	_, forged := errors.AsType[*types.InvalidCiphertextException](err)
	noKey := errors.Is(err, esdk.ErrNoDataKey)
	return malformed || forged || errors.Is(err, esdk.ErrEncryptionContext) && !noKey
}
