package keyspec

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"esdk"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// StoreOptions select a key store and its keys.
type StoreOptions struct {
	Table, File, LogicalName, KMSKey, AWSProfile string

	FormerKeys []string // AWS KMS keys that branch keys may still be under
}

// OpenStore opens a key store. It makes no request.
func (ks *Keys) OpenStore(ctx context.Context, o *StoreOptions) (*branchkey.Store, error) {
	if err := checkSpace(append(o.FormerKeys, o.KMSKey, o.Table)...); err != nil {
		return nil, err
	}
	if o.KMSKey == "" && len(o.FormerKeys) > 0 {
		return nil, cli.UsageError("a former KMS key needs the current KMS key").
			WithHint("use --kms-key ARN, -k 'branch:…?kms=ARN', or key in the configuration")
	}
	var storage branchkey.Storage
	var err error
	switch {
	case o.Table == "" && o.File == "":
		return nil, cli.UsageError("no key store given: use a table or a file").
			WithHint("use --table TABLE or --file FILE, or table or file in the configuration")
	case o.Table != "" && o.File != "":
		return nil, cli.UsageError("two key stores given: use a table or a file, not both")
	case o.Table != "":
		storage, err = ks.openTable(ctx, o)
	default:
		var file string
		if file, err = expandHome(o.File); err == nil {
			ks.Protected.AddPath(file)
			storage, err = branchkey.NewFileStorage(file)
		}
	}
	if err != nil {
		return nil, err
	}
	c := branchkey.Config{
		Storage:     storage,
		LogicalName: o.LogicalName,
		KMS:         branchkey.KMSConfig{MRKeyARN: o.KMSKey, Former: o.FormerKeys, Discovery: o.KMSKey == ""},
		Clients:     ks.KMS(o.AWSProfile).Clients,
	}
	if c.LogicalName == "" {
		c.LogicalName = o.Table
	}
	if c.LogicalName == "" {
		return nil, cli.UsageError("a key store in a file needs a logical name").
			WithHint("use --logical-name NAME, or name in the configuration")
	}
	return branchkey.NewStore(c)
}

// CheckFile rejects a key store in a file that doesn't exist.
func (o *StoreOptions) CheckFile() error {
	if o.File == "" {
		return nil
	}
	file, err := expandHome(o.File)
	if err == nil {
		_, err = os.Stat(file)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.UsageError("key store file %s does not exist", cli.Printable(file)).WithHint("\"esdk keystore create\" creates it")
	case err != nil:
		return cli.UsageError("key store file: %w", err)
	}
	return nil
}

// openTable opens the table in the Region of the KMS key.
func (ks *Keys) openTable(ctx context.Context, o *StoreOptions) (branchkey.Storage, error) {
	options := ks.AWSOptions(o.AWSProfile)
	if key, err := arn.Parse(o.KMSKey); err == nil {
		options = append(options, awsconfig.WithRegion(key.Region))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	return branchkey.NewDynamoDBStorage(dynamodb.NewFromConfig(c), o.Table)
}

// IsOtherName reports whether an item of a key store can't be authenticated.
// Most often, it was created under another logical name.
func IsOtherName(err error) bool {
	return errors.Is(err, branchkey.ErrItem) && errors.As(err, new(*types.InvalidCiphertextException))
}

// BranchKeyTTL is longer than most runs of the command.
const BranchKeyTTL = 10 * time.Minute

// branchKeyring parses
// TABLE/BRANCH-KEY-ID[?kms=ARN][&former=ARN,...][&file=FILE].
func (ks *Keys) branchKeyring(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, kmsOption, formerOption, fileOption)
	if err != nil {
		return nil, err
	}
	table, id, ok := strings.Cut(text, "/")
	if !ok || table == "" || id == "" {
		return nil, cli.UsageError("expected branch:TABLE/BRANCH-KEY-ID[?kms=ARN]")
	}
	o := &StoreOptions{Table: table, LogicalName: table, KMSKey: options["kms"]}
	if former := options["former"]; former != "" {
		o.FormerKeys = strings.Split(former, ",")
	}
	if o.File = options["file"]; o.File != "" {
		o.Table = ""
	}
	return ks.newBranchKeyring(ctx, o, id, encrypt)
}

// newBranchKeyring discovers the AWS KMS key only for decryption. For
// encryption, anyone who can write to the storage could choose the key.
func (ks *Keys) newBranchKeyring(ctx context.Context, o *StoreOptions, id string, encrypt bool) (esdk.Keyring, error) {
	if encrypt && o.KMSKey == "" {
		return nil, cli.UsageError("to encrypt, a branch key needs its KMS key: otherwise anybody who can write to the key store could choose it").
			WithHint("use 'branch:TABLE/BRANCH-KEY-ID?kms=ARN', or key in the configuration")
	}
	store, err := ks.OpenStore(ctx, o)
	if err == nil {
		err = o.CheckFile()
	}
	if err != nil {
		return nil, err
	}
	cache, err := caching.NewStormTracking(caching.StormTrackingConfig{})
	if err != nil {
		return nil, err
	}
	return branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: id, TTL: BranchKeyTTL, Cache: calls.Cache(ctx, cache)})
}
