// Package activitystream decrypts the records of database activity streams of
// Amazon Aurora and Amazon RDS, as they arrive from Kinesis.
package activitystream

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk"
	"esdk/caching"
)

var (
	// ErrRecord is returned if the input isn't a record of an activity stream.
	ErrRecord = errors.New("activitystream: not a record of an activity stream")

	// ErrLength is returned if the events of a record are longer than
	// MaxLength.
	ErrLength = errors.New("activitystream: events are too long")
)

// A Config configures [New].
type Config struct {
	// KMS decrypts data keys. A *kms.Client for the stream's Region implements
	// it.
	KMS interface {
		Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
	}

	// KeyARN is the KMS key that the stream was started with. Without it, AWS
	// KMS would accept any key that the record names, even a forger's.
	KeyARN string

	// ResourceID is the ID of the cluster, cluster-…, or of the instance, db-….
	ResourceID string

	// MaxLength is the maximum length of a record's JSON in bytes; 0 means 16
	// MiB. A record of 1 MiB may decompress to 1 GiB.
	MaxLength int64
}

// Events holds the events of a record. Their fields depend on the version of
// the database. Some events are heartbeats: check their type.
type Events struct {
	Type, ClusterID, InstanceID string

	List []json.RawMessage `json:"databaseActivityEventList"`
}

// A Decoder decrypts the records of one stream. It is safe for concurrent use.
//
// A record that decrypts with the KMS key and the resource ID of the Config is
// from the database. The Decoder can't detect missing, old or repeated records,
// and the fields type and version of a record aren't authenticated.
type Decoder struct {
	Config
	context map[string]string
	clients caching.Cache // by the encrypted data key, which many records share
}

// New returns a Decoder. It makes no request.
func New(c Config) (*Decoder, error) {
	kind, _, _ := strings.Cut(c.ResourceID, "-")
	name, known := map[string]string{"cluster": "aws:rds:dbc-id", "db": "aws:rds:db-id"}[kind]
	if c.KMS == nil || c.KeyARN == "" || !known {
		return nil, errors.New("activitystream: Config needs a KMS, a KeyARN and the ResourceID of a cluster or an instance")
	}
	c.MaxLength = cmp.Or(c.MaxLength, 16<<20)
	clients, err := caching.NewLRU(100)
	return &Decoder{c, map[string]string{name: c.ResourceID}, clients}, err
}

// Decode decrypts the data of one Kinesis record.
func (d *Decoder) Decode(ctx context.Context, record []byte) (*Events, error) {
	var r struct {
		Type    string
		Key     []byte // JSON has it in base64, like the next one
		Message []byte `json:"databaseActivityEvents"`
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if r.Type != "DatabaseActivityMonitoringRecords" {
		return nil, ErrRecord
	}
	cached, err := d.clients.Load(ctx, string(r.Key), func(ctx context.Context) (*caching.Entry, error) { return d.client(ctx, r.Key) })
	if err != nil {
		return nil, fmt.Errorf("activitystream: data key: %w", err)
	}
	compressed, _, err := cached.Value.(*esdk.Client).Decrypt(ctx, r.Message, nil)
	if err != nil {
		return nil, fmt.Errorf("activitystream: %w", err)
	}
	return d.parse(compressed)
}

// client makes a client for all messages under a data key, to be cached for 10
// minutes.
func (d *Decoder) client(ctx context.Context, dataKey []byte) (*caching.Entry, error) {
	created := time.Now()
	out, err := d.KMS.Decrypt(ctx, &kms.DecryptInput{KeyId: &d.KeyARN, CiphertextBlob: dataKey, EncryptionContext: d.context})
	if err != nil {
		return nil, err
	}
	defer clear(out.Plaintext)
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "BC", Name: "DataKey", Key: out.Plaintext})
	if err != nil {
		return nil, err
	}
	client, err := esdk.New(esdk.Config{
		Keyring:              kr,
		CommitmentPolicy:     esdk.RequireEncryptAllowDecrypt, // the database doesn't commit to keys
		MaxEncryptedDataKeys: 1,
		MaxPlaintextLength:   d.MaxLength,
		MaxHeaderLength:      16 << 10,
	})
	return &caching.Entry{Value: client, Created: created, Expires: created.Add(10 * time.Minute)}, err
}

// parse decompresses and parses events. It doesn't return JSON errors, which
// may quote the events.
func (d *Decoder) parse(compressed []byte) (*Events, error) {
	zip, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	text, err := io.ReadAll(io.LimitReader(zip, d.MaxLength+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	case int64(len(text)) > d.MaxLength:
		return nil, ErrLength
	}
	e := new(Events)
	if json.Unmarshal(text, e) != nil || e.Type != "DatabaseActivityMonitoringRecord" {
		return nil, ErrRecord
	}
	return e, nil
}
