package activitystream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/esdktest/kmssim"
	"esdk/examples/activitystream"
)

const (
	region   = "us-west-2"
	cluster  = "cluster-4HNY5V4RRNPKKYB7ICFKE5JBQQ"
	instance = "db-FZJTMYKCXQBUUZ6VLU7NW3ITCM"
	secret   = "SELECT card FROM customers WHERE name = 'Ada'"
)

// A database writes records as Aurora does. AWS KMS encrypts its data key,
// which in turn encrypts the data keys of messages, as the raw key "DataKey" in
// the namespace "BC".
type database struct {
	suite   esdk.SuiteID
	key     []byte // encrypted
	keyring esdk.Keyring
}

func newDatabase(t testing.TB, client *kms.Client, keyARN, resourceID string, suite esdk.SuiteID) (db *database, dataKey []byte) {
	name := "aws:rds:dbc-id"
	if strings.HasPrefix(resourceID, "db-") {
		name = "aws:rds:db-id"
	}
	out, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{
		KeyId:             &keyARN,
		KeySpec:           types.DataKeySpecAes256,
		EncryptionContext: map[string]string{name: resourceID},
	})
	if err != nil {
		t.Fatal(err)
	}
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "BC", Name: "DataKey", Key: out.Plaintext})
	if err != nil {
		t.Fatal(err)
	}
	return &database{suite, out.CiphertextBlob, kr}, out.Plaintext
}

func (db *database) message(t testing.TB, plaintext []byte) []byte {
	client, err := esdk.New(esdk.Config{Keyring: db.keyring, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt, Suite: db.suite})
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := client.Encrypt(t.Context(), plaintext, nil)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func record(t testing.TB, key, message []byte) []byte {
	text, err := json.Marshal(map[string]any{
		"type": "DatabaseActivityMonitoringRecords", "version": "1.1", "databaseActivityEvents": message, "key": key,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (db *database) record(t testing.TB, events string) []byte {
	return record(t, db.key, db.message(t, compress(t, events)))
}

func compress(t testing.TB, text string) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if _, err := io.WriteString(zip, text); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eventsText(list string) string {
	return fmt.Sprintf(`{"type": "DatabaseActivityMonitoringRecord", "clusterId": %q, "instanceId": %q, "databaseActivityEventList": [%s]}`, cluster, instance, list)
}

var sample = eventsText(fmt.Sprintf(`{"type": "record", "command": "SELECT", "commandText": %q}, {"type": "heartbeat"}`, secret))

func checkSample(t testing.TB, e *activitystream.Events, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	if e.ClusterID != cluster || e.InstanceID != instance || len(e.List) != 2 || !bytes.Contains(e.List[0], []byte(secret)) {
		t.Errorf("got %+v", e)
	}
}

// An environment is a simulated AWS KMS with the key of a stream, and a
// Decoder.
type environment struct {
	*kmssim.Server
	client  *kms.Client
	arn     string
	decoder *activitystream.Decoder
}

func newEnvironment(t testing.TB) *environment {
	server := kmssim.New()
	t.Cleanup(server.Close)
	e := &environment{Server: server, client: server.Client(region), arn: server.CreateKey(region, types.KeySpecSymmetricDefault)}
	e.decoder = e.newDecoder(t, cluster)
	return e
}

func (e *environment) newDecoder(t testing.TB, resourceID string) *activitystream.Decoder {
	d, err := activitystream.New(activitystream.Config{KMS: e.client, KeyARN: e.arn, ResourceID: resourceID, MaxLength: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecode covers the suites of Aurora PostgreSQL and Aurora MySQL streams.
func TestDecode(t *testing.T) {
	e := newEnvironment(t)
	for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA256, esdk.AES256GCMHKDFSHA384ECDSAP384} {
		for _, id := range []string{cluster, instance} {
			db, _ := newDatabase(t, e.client, e.arn, id, suite)
			events, err := e.newDecoder(t, id).Decode(t.Context(), db.record(t, sample))
			checkSample(t, events, err)
		}
	}
}

func TestConfig(t *testing.T) {
	e := newEnvironment(t)
	for _, c := range []activitystream.Config{
		{KeyARN: e.arn, ResourceID: cluster},
		{KMS: e.client, ResourceID: cluster},
		{KMS: e.client, KeyARN: e.arn},
		{KMS: e.client, KeyARN: e.arn, ResourceID: "my-cluster"},
	} {
		if _, err := activitystream.New(c); err == nil {
			t.Errorf("New takes %+v", c)
		}
	}
}

var writeRecorded = flag.Bool("record", false, "write a new record of testdata")

// fixedKMS decrypts only the data key of the record in testdata.
type fixedKMS struct{ key, dataKey, answered []byte }

func (k *fixedKMS) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	if !bytes.Equal(in.CiphertextBlob, k.key) || !maps.Equal(in.EncryptionContext, map[string]string{"aws:rds:dbc-id": cluster}) {
		return nil, &types.InvalidCiphertextException{}
	}
	k.answered = slices.Clone(k.dataKey)
	return &kms.DecryptOutput{Plaintext: k.answered}, nil
}

func TestRecorded(t *testing.T) {
	recordFile, keyFile := filepath.Join("testdata", "record.json"), filepath.Join("testdata", "datakey.hex")
	if *writeRecorded {
		e := newEnvironment(t)
		db, dataKey := newDatabase(t, e.client, e.arn, cluster, esdk.AES256GCMHKDFSHA384ECDSAP384)
		if err := errors.Join(
			os.WriteFile(recordFile, append(db.record(t, sample), '\n'), 0o600),
			os.WriteFile(keyFile, []byte(hex.EncodeToString(dataKey)+"\n"), 0o600),
		); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := os.ReadFile(recordFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	dataKey, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Key []byte }
	if err := json.Unmarshal(recorded, &r); err != nil {
		t.Fatal(err)
	}
	client := &fixedKMS{key: r.Key, dataKey: dataKey}
	d, err := activitystream.New(activitystream.Config{KMS: client, KeyARN: "recorded", ResourceID: cluster})
	if err != nil {
		t.Fatal(err)
	}
	events, err := d.Decode(t.Context(), recorded)
	checkSample(t, events, err)
	if !bytes.Equal(client.answered, make([]byte, 32)) {
		t.Error("the data key stays in memory")
	}
}

func TestBadRecords(t *testing.T) {
	e := newEnvironment(t)
	db, _ := newDatabase(t, e.client, e.arn, cluster, esdk.AES256GCMHKDFSHA384ECDSAP384)
	otherKey, _ := newDatabase(t, e.client, e.arn, cluster, db.suite)
	otherCluster, _ := newDatabase(t, e.client, e.arn, "cluster-OTHER", db.suite)
	forger, _ := newDatabase(t, e.client, e.CreateKey(region, types.KeySpecSymmetricDefault), cluster, db.suite)
	message := db.message(t, compress(t, sample))
	tampered := bytes.Clone(message)
	tampered[len(tampered)-150] ^= 1
	many := bytes.Clone(message)
	contextEnd := 22 + int(many[20])<<8 + int(many[21])
	many[contextEnd], many[contextEnd+1] = 0xff, 0xff // encrypted data keys

	var invalid *types.InvalidCiphertextException
	var wrongKey *types.IncorrectKeyException
	var malformed *esdk.FormatError
	for name, test := range map[string]struct {
		record []byte
		want   any
	}{
		"another cluster":        {otherCluster.record(t, sample), &invalid},
		"a forger's KMS key":     {forger.record(t, sample), &wrongKey},
		"another's message":      {record(t, db.key, otherKey.message(t, compress(t, sample))), esdk.ErrNoDataKey},
		"tampered":               {record(t, db.key, tampered), esdk.ErrAuthentication},
		"truncated":              {record(t, db.key, message[:len(message)-1]), io.ErrUnexpectedEOF},
		"too many data keys":     {record(t, db.key, many), esdk.ErrLimit},
		"no message":             {record(t, db.key, nil), &malformed},
		"plaintext":              {record(t, db.key, compress(t, sample)), &malformed},
		"no key":                 {record(t, nil, message), nil},
		"a little too long":      {db.record(t, eventsText(strings.Repeat(" ", 1<<20))), activitystream.ErrLength},
		"a long message":         {record(t, db.key, db.message(t, make([]byte, 1<<20+1))), esdk.ErrLimit},
		"not compressed":         {record(t, db.key, db.message(t, []byte(sample))), activitystream.ErrRecord},
		"half compressed":        {record(t, db.key, db.message(t, compress(t, sample)[:60])), activitystream.ErrRecord},
		"other JSON":             {db.record(t, `{"type": 4111111111111111}`), activitystream.ErrRecord},
		"empty":                  {nil, activitystream.ErrRecord},
		"no JSON":                {[]byte("a record"), activitystream.ErrRecord},
		"another type":           {[]byte(`{"type": "CONTROL_MESSAGE"}`), activitystream.ErrRecord},
		"no base64":              {[]byte(`{"type": "DatabaseActivityMonitoringRecords", "key": "?"}`), activitystream.ErrRecord},
		"a record in the middle": {append([]byte("x"), db.record(t, sample)...), activitystream.ErrRecord},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := e.decoder.Decode(t.Context(), test.record)
			if err == nil || events != nil {
				t.Fatalf("Decode returned %v, %v", events, err)
			}
			switch want := test.want.(type) {
			case nil:
			case error:
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			default:
				if !errors.As(err, want) {
					t.Errorf("error %v, want a %T", err, want)
				}
			}
			if strings.Contains(err.Error(), "SELECT") || strings.Contains(err.Error(), "4111") {
				t.Errorf("the error has plaintext: %v", err)
			}
		})
	}
	events, err := e.decoder.Decode(t.Context(), db.record(t, sample))
	checkSample(t, events, err)
}

// TestBomb checks that a record that decompresses to 256 MiB is rejected
// without allocating as much memory.
func TestBomb(t *testing.T) {
	e := newEnvironment(t)
	db, _ := newDatabase(t, e.client, e.arn, cluster, esdk.AES256GCMHKDFSHA256)
	part := compress(t, strings.Repeat(" ", 1<<20))
	bomb := record(t, db.key, db.message(t, bytes.Repeat(part, 256)))
	t.Logf("a record of %d bytes", len(bomb))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := e.decoder.Decode(t.Context(), bomb); !errors.Is(err, activitystream.ErrLength) {
		t.Errorf("error %v, want ErrLength", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

// TestCalls checks that AWS KMS decrypts each data key once, even for
// concurrent callers.
func TestCalls(t *testing.T) {
	e := newEnvironment(t)
	var records [][]byte
	for range 3 { // the database changes its data key now and then
		db, _ := newDatabase(t, e.client, e.arn, cluster, esdk.AES256GCMHKDFSHA256)
		for range 100 {
			records = append(records, db.record(t, sample))
		}
	}
	e.Reset()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := i; j < len(records); j += 8 {
				events, err := e.decoder.Decode(t.Context(), records[j])
				checkSample(t, events, err)
			}
		})
	}
	wg.Wait()
	if n := e.Count("Decrypt"); n != 3 {
		t.Errorf("%d calls to AWS KMS for %d records, want 3", n, len(records))
	}
}

// TestOutage checks that errors of AWS KMS aren't cached: the same record
// decrypts later.
func TestOutage(t *testing.T) {
	e := newEnvironment(t)
	db, _ := newDatabase(t, e.client, e.arn, cluster, esdk.AES256GCMHKDFSHA256)
	text := db.record(t, sample)
	e.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "KMSInternalException"} })
	var internal *types.KMSInternalException
	if _, err := e.decoder.Decode(t.Context(), text); !errors.As(err, &internal) {
		t.Errorf("error %v, want a KMSInternalException", err)
	}
	e.Fault(nil)
	events, err := e.decoder.Decode(t.Context(), text)
	checkSample(t, events, err)
}

func BenchmarkDecode(b *testing.B) {
	e := newEnvironment(b)
	for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA256, esdk.AES256GCMHKDFSHA384ECDSAP384} {
		b.Run(suite.String(), func(b *testing.B) {
			db, _ := newDatabase(b, e.client, e.arn, cluster, suite)
			compressed := compress(b, sample)
			text := record(b, db.key, db.message(b, compressed))
			for b.Loop() {
				if _, err := e.decoder.Decode(b.Context(), text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(db.message(b, compressed))-len(compressed)), "bytes-added")
		})
	}
}
