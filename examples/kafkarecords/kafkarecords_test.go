package kafkarecords_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest/kmssim"
	"esdk/examples/kafkarecords"
)

const (
	region = "us-west-2"
	secret = "4111 1111 1111 1111"
	topic  = "payments"
)

// An environment is a simulated AWS KMS with a key.
type environment struct {
	*kmssim.Server
	arn     string
	keyring esdk.Keyring
}

func newEnvironment(t testing.TB) *environment {
	t.Helper()
	server := kmssim.New()
	t.Cleanup(server.Close)
	arn := server.CreateKey(region, types.KeySpecSymmetricDefault)
	return &environment{server, arn, ok(awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(server.Client(region))}, arn))(t)}
}

func (e *environment) codec(t testing.TB) *kafkarecords.Codec {
	t.Helper()
	return ok(kafkarecords.NewCodec(e.keyring))(t)
}

func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSeal(t *testing.T) {
	codec := newEnvironment(t).codec(t)
	for _, key := range [][]byte{nil, {}, []byte("customer-17"), bytes.Repeat([]byte("k"), 300)} {
		for _, value := range [][]byte{nil, {}, []byte(secret)} {
			r := &kgo.Record{Topic: topic, Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}}}
			sealed := ok(codec.Seal(t.Context(), r))(t)
			if bytes.Contains(sealed.Value, []byte(secret)) || (sealed.Value == nil) != (value == nil) {
				t.Errorf("sealed value %q", sealed.Value)
			}
			if !bytes.Equal(r.Value, value) {
				t.Error("Seal changes the record that it gets")
			}
			opened := ok(codec.Open(t.Context(), sealed))(t)
			if !bytes.Equal(opened.Value, value) || (opened.Value == nil) != (value == nil) ||
				!bytes.Equal(opened.Key, key) || len(opened.Headers) != 1 {
				t.Errorf("opened %+v, want %+v", opened, r)
			}
		}
	}
	long := &kgo.Record{Topic: topic, Value: make([]byte, 1<<20)}
	if _, err := codec.Seal(t.Context(), long); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("error %v for a long value, want ErrLimit", err)
	}
}

// poisons returns values that must not open for the key "b" of a topic.
func poisons(t testing.TB, codec *kafkarecords.Codec, topic string) map[string][]byte {
	t.Helper()
	seal := func(topic string, key []byte) []byte {
		return ok(codec.Seal(t.Context(), &kgo.Record{Topic: topic, Key: key, Value: []byte(secret)}))(t).Value
	}
	value := seal(topic, []byte("b"))
	header := ok(esdk.ParseHeader(bytes.NewReader(value)))(t)
	dataKey := bytes.Index(value, header.EncryptedDataKeys[0].Ciphertext) + len(header.EncryptedDataKeys[0].Ciphertext)/2
	changed := func(at int) []byte {
		v := bytes.Clone(value)
		v[at] ^= 1
		return v
	}
	many := bytes.Clone(value)
	binary.BigEndian.PutUint16(many[bytes.Index(many, []byte(topic))+len(topic):], 4)
	return map[string][]byte{
		"of another key":      seal(topic, []byte("a")),
		"of a longer key":     seal(topic, []byte("bc")),
		"of no key":           seal(topic, nil),
		"of another topic":    seal("refunds", []byte("b")),
		"tampered":            changed(len(value) - 20),
		"changed data key":    changed(dataKey),
		"cut short":           value[:len(value)-1],
		"continued":           append(bytes.Clone(value), 0),
		"empty":               {},
		"plaintext":           []byte(secret),
		"too many data keys":  many,
		"a length of 4 GiB":   bytes.Replace(value, []byte{2, 0, 0, 0x10, 0}, []byte{2, 0xff, 0xff, 0xff, 0xff}, 1),
		"a key and its value": []byte("\x02b" + secret),
	}
}

func TestOpenRefuses(t *testing.T) {
	e := newEnvironment(t)
	codec := e.codec(t)
	raw := ok(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "example", Name: "kafka", Key: make([]byte, 32)}))(t)
	both := ok(esdk.NewMultiKeyring(raw, e.keyring))(t)
	for _, codec := range []*kafkarecords.Codec{codec, ok(kafkarecords.NewCodec(raw))(t)} {
		for name, value := range poisons(t, codec, topic) {
			opened, err := codec.Open(t.Context(), &kgo.Record{Topic: topic, Key: []byte("b"), Value: value})
			limited := errors.Is(err, esdk.ErrLimit) // before a key service is asked
			if err == nil || opened != nil || !kafkarecords.Poisoned(err) || strings.Contains(err.Error(), secret) || limited != (name == "too many data keys") {
				t.Errorf("%s: Open returned %v, %v", name, opened, err)
			}
		}
	}
	// A missing key differs from an empty one.
	empty := ok(codec.Seal(t.Context(), &kgo.Record{Topic: topic, Key: []byte{}, Value: []byte(secret)}))(t)
	empty.Key = nil
	if _, err := codec.Open(t.Context(), empty); !errors.Is(err, kafkarecords.ErrKey) {
		t.Errorf("error %v, want ErrKey", err)
	}
	// These errors may be the consumer's fault, or temporary.
	r := ok(codec.Seal(t.Context(), &kgo.Record{Topic: topic, Key: []byte("b"), Value: []byte(secret)}))(t)
	other := newEnvironment(t)
	if _, err := other.codec(t).Open(t.Context(), r); !errors.Is(err, esdk.ErrNoDataKey) || kafkarecords.Poisoned(err) {
		t.Errorf("with another KMS key: %v", err)
	}
	halfChanged := &kgo.Record{Topic: topic, Key: []byte("b"), Value: poisons(t, ok(kafkarecords.NewCodec(both))(t), topic)["changed data key"]}
	e.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "ThrottlingException"} })
	if _, err := e.codec(t).Open(t.Context(), r); !errors.Is(err, esdk.ErrNoDataKey) || kafkarecords.Poisoned(err) {
		t.Errorf("while AWS KMS is busy: %v", err)
	}
	if _, err := ok(kafkarecords.NewCodec(both))(t).Open(t.Context(), halfChanged); !errors.Is(err, esdk.ErrNoDataKey) || kafkarecords.Poisoned(err) {
		t.Errorf("while AWS KMS is busy, with another data key that was changed: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := codec.Open(ended, r); !errors.Is(err, context.Canceled) || kafkarecords.Poisoned(err) {
		t.Errorf("in a context that has ended: %v", err)
	}
}

// TestCalls counts the calls to AWS KMS for 1,000 records of 100 keys,
// encrypted by one process and decrypted by another.
func TestCalls(t *testing.T) {
	const records, keys = 1000, 100
	e := newEnvironment(t)
	record := func(i int) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "customer-%d", i%keys), Value: []byte(secret)}
	}
	count := func(name string, generate, decrypt int, run func()) {
		t.Helper()
		e.Reset()
		run()
		t.Logf("%-44s %4d calls to encrypt, %4d to decrypt", name, e.Count("GenerateDataKey"), e.Count("Decrypt"))
		if e.Count("GenerateDataKey") != generate || e.Count("Decrypt") != decrypt {
			t.Errorf("%s: want %d and %d calls", name, generate, decrypt)
		}
	}
	count("key within the plaintext, caching CMM", 1, 1, func() {
		producer, consumer := e.codec(t), e.codec(t)
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := worker; i < records; i += 8 {
					sealed, err := producer.Seal(t.Context(), record(i))
					if err == nil {
						_, err = consumer.Open(t.Context(), sealed)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	// Count the calls with topic and key in the encryption context.
	both := func(producer, consumer esdk.Config) func() {
		producer.Suite = esdk.AES256GCMHKDFSHA512Commit
		encrypt, decrypt := ok(esdk.New(producer))(t), ok(esdk.New(consumer))(t)
		return func() {
			for i := range records {
				r := record(i)
				ec := esdk.EncryptionContext{"topic": r.Topic, "key": string(r.Key)}
				message, _, err := encrypt.Encrypt(t.Context(), r.Value, ec)
				if err == nil {
					_, _, err = decrypt.Decrypt(t.Context(), message, ec)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cached := func() esdk.Config {
		return esdk.Config{CMM: ok(caching.NewCMM(caching.Config{Keyring: e.keyring, MaxAge: time.Hour}))(t)}
	}
	count("key in the context, caching CMM", keys, keys, both(cached(), cached()))
	count("key in the context, KMS keyring", records, records, both(esdk.Config{Keyring: e.keyring}, esdk.Config{Keyring: e.keyring}))
	store := ok(branchkey.NewStore(branchkey.Config{
		Storage:     ok(branchkey.NewFileStorage(filepath.Join(t.TempDir(), "keys.db")))(t),
		LogicalName: "keys",
		KMS:         branchkey.KMSConfig{KeyARN: e.arn},
		Clients:     awskms.FixedClient(e.Client(region)),
	}))(t)
	ok(store.CreateKeyStore(t.Context()))(t)
	id := ok(store.CreateKey(t.Context(), "", nil))(t)
	hierarchical := func() esdk.Config {
		return esdk.Config{Keyring: ok(branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: id, TTL: time.Hour}))(t)}
	}
	count("key in the context, hierarchical keyring", 0, 2, both(hierarchical(), hierarchical()))
}

// A broker is a real Kafka broker.
type broker struct {
	address string
	admin   *kgo.Client
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	address := os.Getenv("ESDK_KAFKA_ADDRESS")
	if address == "" {
		const text = "NOT RUN: ESDK_KAFKA_ADDRESS is not set; examples/run.sh kafkarecords sets it"
		if os.Getenv("ESDK_REQUIRE_SERVERS") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	b := &broker{address: address}
	b.admin = b.client(t)
	return b
}

func (b *broker) client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client := ok(kgo.NewClient(append(options, kgo.SeedBrokers(b.address))...))(t)
	t.Cleanup(client.Close)
	return client
}

// newTopic makes a topic with one partition, so that records keep their order.
func (b *broker) newTopic(t *testing.T, prefix string, configs ...string) string {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = prefix+"-"+rand.Text(), 1, 1
	for _, text := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		name, value, _ := strings.Cut(text, "=")
		config.Name, config.Value = name, &value
		topic.Configs = append(topic.Configs, config)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response := ok(request.RequestWith(t.Context(), b.admin))(t)
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
	return topic.Topic
}

// read returns the records of a topic up to an offset, still encrypted.
func (b *broker) read(t *testing.T, topic string, end int64) (records []*kgo.Record) {
	t.Helper()
	client := ok(kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})))(t)
	defer client.Close()
	for len(records) == 0 || records[len(records)-1].Offset < end-1 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// A consumer runs Codec.Consume in the background.
type consumer struct {
	client *kgo.Client
	values chan *kgo.Record
	done   chan error
	cancel func()
}

func (b *broker) consume(t *testing.T, codec *kafkarecords.Codec, group, topic, deadLetters string) *consumer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &consumer{b.client(t, kafkarecords.ConsumerOptions(group, topic)...), make(chan *kgo.Record, 10_000), make(chan error, 1), cancel}
	go func() {
		c.done <- codec.Consume(ctx, c.client, deadLetters, func(_ context.Context, r *kgo.Record) error {
			c.values <- r
			return nil
		})
	}()
	t.Cleanup(cancel)
	return c
}

// until waits until the offset is committed, stops the consumer and returns the
// handled records.
func (c *consumer) until(t *testing.T, topic string, offset int64) (records []*kgo.Record) {
	t.Helper()
	for c.client.CommittedOffsets()[topic][0].Offset < offset {
		select {
		case err := <-c.done:
			t.Fatalf("Consume ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	c.cancel()
	if err := <-c.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Consume returned %v", err)
	}
	c.client.Close()
	close(c.values)
	for r := range c.values {
		records = append(records, r)
	}
	return records
}

func TestBroker(t *testing.T) {
	b, e := newBroker(t), newEnvironment(t)
	topic := b.newTopic(t, "payments")
	var records []*kgo.Record
	for i := range 300 {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "customer-%d", i%30), Value: fmt.Appendf(nil, "%s, %d", secret, i)}
		switch i {
		case 100:
			r.Value = nil
		case 101:
			r.Value = []byte{}
		case 102:
			r.Key = nil
		case 103:
			r.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("17")}}
		}
		records = append(records, r)
	}
	if err := e.codec(t).Produce(t.Context(), b.client(t), records...); err != nil {
		t.Fatal(err)
	}
	for i, r := range b.read(t, topic, 300) {
		if bytes.Contains(r.Value, []byte(secret)) || (r.Value == nil) != (i == 100) || !bytes.Equal(r.Key, records[i].Key) {
			t.Errorf("the broker has %q: %q", r.Key, r.Value)
		}
	}
	got := b.consume(t, e.codec(t), rand.Text(), topic, "none").until(t, topic, 300)
	if len(got) != 300 {
		t.Fatalf("%d records, want 300", len(got))
	}
	for i, r := range got {
		if !bytes.Equal(r.Value, records[i].Value) || (r.Value == nil) != (i == 100) || !bytes.Equal(r.Key, records[i].Key) || (len(r.Headers) == 1) != (i == 103) {
			t.Errorf("record %d is %q: %q", i, r.Key, r.Value)
		}
	}
	if n, m := e.Count("GenerateDataKey"), e.Count("Decrypt"); n != 1 || m != 1 {
		t.Errorf("%d and %d calls to AWS KMS, want 1 and 1", n, m)
	}
}

// TestPoisonedRecords checks that poisoned records are sent unchanged to the
// dead-letter topic, and that no other record is lost.
func TestPoisonedRecords(t *testing.T) {
	b, e := newBroker(t), newEnvironment(t)
	codec, producer := e.codec(t), b.client(t)
	topic, deadLetters := b.newTopic(t, "payments"), b.newTopic(t, "dead")
	good := func() {
		if err := codec.Produce(t.Context(), producer, &kgo.Record{Topic: topic, Key: []byte("b"), Value: []byte(secret)}); err != nil {
			t.Fatal(err)
		}
	}
	values := map[int64][]byte{} // by offset
	good()
	for name, value := range poisons(t, codec, topic) {
		r := &kgo.Record{Topic: topic, Key: []byte("b"), Value: value, Headers: []kgo.RecordHeader{{Key: "name", Value: []byte(name)}}}
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		values[r.Offset] = value
		good()
	}
	all := int64(2*len(values) + 1)
	got := b.consume(t, e.codec(t), rand.Text(), topic, deadLetters).until(t, topic, all)
	if len(got) != len(values)+1 {
		t.Errorf("%d records were handled, want %d", len(got), len(values)+1)
	}
	for _, r := range got {
		if string(r.Value) != secret {
			t.Errorf("handled %q", r.Value)
		}
	}
	letters := b.read(t, deadLetters, int64(len(values)))
	if len(letters) != len(values) {
		t.Errorf("%d dead letters, want %d", len(letters), len(values))
	}
	for _, r := range letters {
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		offset, err := strconv.ParseInt(headers["dead-letter-offset"], 10, 64)
		if err != nil || headers["dead-letter-topic"] != topic || headers["dead-letter-partition"] != "0" || headers["dead-letter-error"] == "" || headers["name"] == "" {
			t.Errorf("headers %v", headers)
		}
		if value, found := values[offset]; !found || !bytes.Equal(r.Value, value) || string(r.Key) != "b" {
			t.Errorf("dead letter of offset %d is %q", offset, r.Value)
		}
		t.Logf("%s: %s", headers["name"], headers["dead-letter-error"])
	}
}

// TestConsumerStops checks that a consumer stops and loses nothing if AWS KMS
// is unavailable or if the dead-letter topic doesn't exist.
func TestConsumerStops(t *testing.T) {
	b, e := newBroker(t), newEnvironment(t)
	codec, producer := e.codec(t), b.client(t)
	topic, deadLetters, group := b.newTopic(t, "payments"), b.newTopic(t, "dead"), rand.Text()
	var records []*kgo.Record
	for i := range 20 {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte("b"), Value: strconv.AppendInt(nil, int64(i), 10)})
	}
	if err := codec.Produce(t.Context(), producer, records...); err != nil {
		t.Fatal(err)
	}
	stops := func(deadLetters string) error {
		c := b.consume(t, e.codec(t), group, topic, deadLetters)
		err := <-c.done
		c.client.Close()
		return err
	}
	e.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "KMSInternalException"} })
	if err := stops(deadLetters); !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("error %v, want ErrNoDataKey", err)
	}
	e.Fault(nil)
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("b"), Value: []byte(secret)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := stops("no-such-topic"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("error %v, want UnknownTopicOrPartition", err)
	}
	got := b.consume(t, e.codec(t), group, topic, deadLetters).until(t, topic, 21)
	if len(got) != 20 {
		t.Errorf("%d records, want 20", len(got))
	}
	for i, r := range got {
		if string(r.Value) != strconv.Itoa(i) {
			t.Errorf("record %d is %q", i, r.Value)
		}
	}
	if letters := b.read(t, deadLetters, 1); len(letters) != 1 || string(letters[0].Value) != secret {
		t.Errorf("dead letters %v", letters)
	}
}

// TestCompaction checks that a compacted topic keeps the last value of a key,
// and that a tombstone deletes its key.
func TestCompaction(t *testing.T) {
	b, e := newBroker(t), newEnvironment(t)
	codec, producer := e.codec(t), b.client(t)
	topic := b.newTopic(t, "customers", "cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.001", "delete.retention.ms=1")
	record := func(key string, value []byte) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
	}
	if err := codec.Produce(t.Context(), producer,
		record("stays", []byte("old")), record("goes", []byte("old")), record("stays", []byte("new")), record("goes", nil)); err != nil {
		t.Fatal(err)
	}
	for {
		// The cleaner skips the last segment. This record ends it.
		time.Sleep(200 * time.Millisecond)
		last := ok(codec.Seal(t.Context(), record("last", []byte("x"))))(t)
		if err := producer.ProduceSync(t.Context(), last).FirstErr(); err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(b.read(t, topic, last.Offset+1), func(r *kgo.Record) bool { return string(r.Key) == "last" })
		if len(left) > 1 {
			continue // until the test times out
		}
		if len(left) != 1 || string(left[0].Key) != "stays" {
			t.Fatalf("left %v", left)
		}
		if opened := ok(codec.Open(t.Context(), left[0]))(t); string(opened.Value) != "new" {
			t.Errorf("value %q", opened.Value)
		}
		return
	}
}

func BenchmarkCodec(b *testing.B) {
	codec := ok(kafkarecords.NewCodec(ok(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "example", Name: "kafka", Key: make([]byte, 32)}))(b)))(b)
	r := &kgo.Record{Topic: topic, Key: []byte("customer-17"), Value: make([]byte, 1000)}
	sealed := ok(codec.Seal(b.Context(), r))(b)
	b.Run("Seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := codec.Seal(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(sealed.Value)-len(r.Value)), "bytes-added")
	})
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			if _, err := codec.Open(b.Context(), sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
