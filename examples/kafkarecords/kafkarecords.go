// Package kafkarecords encrypts the values of Kafka records.
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

	"github.com/twmb/franz-go/pkg/kgo"

	"esdk"
	"esdk/caching"
)

// ErrKey is returned if a value was encrypted for another key of the topic.
var ErrKey = errors.New("kafkarecords: value of another record key")

// A Codec encrypts and decrypts the values of records. It is safe for
// concurrent use.
//
// A value is bound to its topic and key. Keys, headers and timestamps aren't
// encrypted, since brokers partition and compact by the key. Only the key is
// authenticated. Records may be repeated, reordered and left out. A tombstone,
// whose value is nil, may be from anybody with write access to the topic.
type Codec struct{ client *esdk.Client }

// NewCodec returns a Codec over a keyring. A data key serves all values of a
// topic for five minutes: messages under one data key share an encryption
// context, which holds the topic. The record key isn't in the context, since
// each key would then cost a call to AWS KMS. It's encrypted with the value.
func NewCodec(kr esdk.Keyring) (*Codec, error) {
	cmm, err := caching.NewCMM(caching.Config{Keyring: kr, MaxAge: 5 * time.Minute, MaxMessages: 1 << 20})
	if err != nil {
		return nil, err
	}
	client, err := esdk.New(esdk.Config{
		CMM:                  cmm,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // a signature would cost a millisecond
		MaxEncryptedDataKeys: 3,
		MaxPlaintextLength:   1 << 20, // the default limit of a broker
		MaxHeaderLength:      16 << 10,
	})
	return &Codec{client}, err
}

// Seal returns a copy of a record with an encrypted value. A nil value stays
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

// Open reverses Seal. A nil value stays nil. Any other value must be encrypted,
// regardless of the record's headers.
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

// keyPrefix returns a record key, preceded by its length plus 1. 0 stands for
// no key, which differs from an empty key. No result begins with another
// result.
func keyPrefix(key []byte) []byte {
	if key == nil {
		return []byte{0}
	}
	return append(binary.AppendUvarint(nil, uint64(len(key))+1), key...)
}

// Produce encrypts records and sends them as a batch. If encrypting one fails,
// none is sent.
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

// ConsumerOptions returns the options for a client of Consume, which commits
// offsets itself.
func ConsumerOptions(group string, topics ...string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll()}
}

// Consume decrypts records and passes them to handle. It returns at the first
// error, such as the context's.
//
// A poisoned record, which will never open, is sent unchanged to the topic
// deadLetters. Any other error ends Consume before the offset is committed, so
// the record is delivered again: an outage of a key service loses nothing. A
// record may be handled twice, and may be in deadLetters twice.
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

// Poisoned reports whether an error is the record's fault and permanent. An
// error because no data key decrypts is only if each data key that was tried
// isn't authentic. Otherwise, a key service may be unreachable, or the consumer
// may lack a permission or the key.
func Poisoned(err error) bool {
	for _, target := range []error{ErrKey, esdk.ErrAuthentication, esdk.ErrCommitment, esdk.ErrCommitmentPolicy, esdk.ErrLimit} {
		if errors.Is(err, target) {
			return true
		}
	}
	_, malformed := errors.AsType[*esdk.FormatError](err)
	noKey := errors.Is(err, esdk.ErrNoDataKey)
	return malformed || errors.Is(err, esdk.ErrEncryptionContext) && !noKey
}
