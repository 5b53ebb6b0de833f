package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"esdk"
	"esdk/branchkey"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/kmsarn"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"
)

// storeOptions say which key store to use, and how.
type storeOptions struct {
	table, file, logicalName, kmsKey, awsProfile string
}

func (o *storeOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.table, "table", "", "the key store is a `TABLE` of DynamoDB")
	flags.StringVar(&o.file, "file", "", "the key store is a `FILE` on this machine")
	flags.StringVar(&o.logicalName, "logical-name", "", "the logical `NAME` of the key store (default that of the table)")
	flags.StringVar(&o.kmsKey, "kms-key", "", "the `ARN` of the KMS key of branch keys (default the one that each names, which cannot create them)")
}

// openStore makes no request.
func (a *app) openStore(ctx context.Context, o *storeOptions) (*branchkey.Store, error) {
	var storage branchkey.Storage
	var err error
	switch {
	case (o.table == "") == (o.file == ""):
		return nil, cli.UsageError("which key store? Give a table or a file")
	case o.table != "":
		storage, err = openTable(ctx, o)
	default:
		storage, err = branchkey.NewFileStorage(o.file)
	}
	if err != nil {
		return nil, err
	}
	c := branchkey.Config{
		Storage:     storage,
		LogicalName: o.logicalName,
		KMS:         branchkey.KMSConfig{MRKeyARN: o.kmsKey, Discovery: o.kmsKey == ""},
		Clients:     a.kms(o.awsProfile).Clients,
	}
	if c.LogicalName == "" {
		c.LogicalName = o.table
	}
	if c.LogicalName == "" {
		return nil, cli.UsageError("a key store in a file needs a logical name")
	}
	return branchkey.NewStore(c)
}

// openTable uses the table in the Region of the KMS key, as the default client
// does.
func openTable(ctx context.Context, o *storeOptions) (branchkey.Storage, error) {
	if o.awsProfile == "" {
		return branchkey.NewDynamoDBStorage(nil, o.table)
	}
	options := awsProfile(o.awsProfile)
	if arn, err := kmsarn.ParseKey(o.kmsKey); err == nil {
		options = append(options, awsconfig.WithRegion(arn.Region))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	return branchkey.NewDynamoDBStorage(dynamodb.NewFromConfig(c), o.table)
}

// branchKeyTTL is longer than most runs of the command.
const branchKeyTTL = 10 * time.Minute

// branchKeyring reads TABLE/BRANCH-KEY-ID[?kms=ARN][&file=FILE].
func (a *app) branchKeyring(ctx context.Context, text string, _ bool) (esdk.Keyring, error) {
	text, query, _ := strings.Cut(text, "?")
	table, id, ok := strings.Cut(text, "/")
	values, err := url.ParseQuery(query)
	if !ok || table == "" || id == "" || err != nil {
		return nil, cli.UsageError("want branch:TABLE/BRANCH-KEY-ID[?kms=ARN]")
	}
	o := &storeOptions{table: table, logicalName: table, kmsKey: values.Get("kms")}
	if o.file = values.Get("file"); o.file != "" {
		o.table = ""
	}
	for name := range values {
		if name != "kms" && name != "file" {
			return nil, cli.UsageError("want ?kms=ARN or ?file=FILE behind the branch key id, not %s", cli.Printable(name))
		}
	}
	return a.newBranchKeyring(ctx, o, id)
}

func (a *app) newBranchKeyring(ctx context.Context, o *storeOptions, id string) (esdk.Keyring, error) {
	store, err := a.openStore(ctx, o)
	if err != nil {
		return nil, err
	}
	return branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: id, TTL: branchKeyTTL})
}

func (a *app) newKeystoreCommand() *cobra.Command {
	o := new(storeOptions)
	cmd := &cobra.Command{
		Use:   "keystore",
		Short: "Manage key stores and the branch keys in them",
		Long: `Manage key stores and the branch keys in them, for -k branch:TABLE/BRANCH-KEY-ID.
A key store is a table of DynamoDB, which the official SDKs may use too, or a
file. Keys never leave it in the clear, and none is printed.`,
		Example: `  esdk keystore create --table keys --kms-key arn:…
  esdk keystore key create --table keys --kms-key arn:… --id tenant-17 -c tenant=17
  esdk encrypt -k 'branch:keys/tenant-17?kms=arn:…' file
  esdk keystore key version tenant-17 --table keys --kms-key arn:…`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("do what with the key store: create, info or key?")
		},
	}
	o.addFlags(cmd)
	key := &cobra.Command{
		Use:   "key",
		Short: "Create, version and show branch keys",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("do what with the branch key: create, version or get?")
		},
	}
	key.AddCommand(a.newKeyCreate(o), a.newKeyVersion(o), a.newKeyGet(o))
	cmd.AddCommand(a.newKeystoreCreate(o), a.newKeystoreInfo(o), key)
	return cmd
}

// storeCommand completes a command that works on a key store.
func (a *app) storeCommand(o *storeOptions, cmd *cobra.Command, run func(ctx context.Context, s *branchkey.Store, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.openStore(cmd.Context(), o)
		if err != nil {
			return err
		}
		return explainStore(run(cmd.Context(), s, args))
	}
	return cmd
}

// explainStore adds advice to the errors of key stores.
func explainStore(err error) error {
	switch {
	case errors.Is(err, branchkey.ErrNoKeyStore):
		return cli.Hinted(err, "\"esdk keystore create\" makes it")
	case errors.Is(err, branchkey.ErrConflict):
		return cli.Hinted(err, "somebody else has made a new version; look at \"esdk keystore key get\" before you try again")
	case errors.Is(err, branchkey.ErrDiscovery):
		return cli.Hinted(err, "give --kms-key ARN")
	}
	return err
}

func (a *app) newKeystoreCreate(o *storeOptions) *cobra.Command {
	return a.storeCommand(o, &cobra.Command{Use: "create", Short: "Make a key store, unless it exists", Args: noArguments},
		func(ctx context.Context, s *branchkey.Store, _ []string) error {
			name, err := s.CreateKeyStore(ctx)
			if err != nil {
				return err
			}
			return a.Print(map[string]string{"key_store": name}, "%s\n", name)
		})
}

func (a *app) newKeystoreInfo(o *storeOptions) *cobra.Command {
	return a.storeCommand(o, &cobra.Command{Use: "info", Short: "Show how a key store would be used, without a request", Args: noArguments},
		func(_ context.Context, s *branchkey.Store, _ []string) error {
			i := s.Info()
			kmsKey := i.KMS.MRKeyARN
			if i.KMS.Discovery {
				kmsKey = "the one that each branch key names"
			}
			return a.Print(map[string]string{"storage": i.StorageName, "logical_name": i.LogicalName, "kms_key": kmsKey},
				"storage       %s\nlogical name  %s\nKMS key       %s\n", i.StorageName, i.LogicalName, kmsKey)
		})
}

func (a *app) newKeyCreate(o *storeOptions) *cobra.Command {
	var id string
	var ec contextFlags
	cmd := &cobra.Command{Use: "create", Short: "Make a branch key, and print its id", Args: noArguments}
	cmd.Flags().StringVar(&id, "id", "", "`ID` of the branch key, which then needs a context (default a random one)")
	cmd.Flags().StringArrayVarP(&ec.pairs, "context", "c", nil, "pair `KEY=VALUE` that is bound to the branch key; repeatable")
	return a.storeCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, _ []string) error {
		pairs, bare, err := ec.parse()
		if err != nil {
			return err
		}
		if len(bare) > 0 {
			return cli.UsageError("-c %s: want KEY=VALUE", cli.Printable(bare[0]))
		}
		if id != "" && len(pairs) == 0 {
			return cli.UsageError("--id needs a context: -c KEY=VALUE")
		}
		created, err := s.CreateKey(ctx, id, pairs)
		if err != nil {
			return err
		}
		return a.Print(map[string]string{"branch_key_id": created}, "%s\n", created)
	})
}

func (a *app) newKeyVersion(o *storeOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "version ID", Short: "Make a new version of a branch key, for what is encrypted from now on", Args: cobra.ExactArgs(1)}
	return a.storeCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
		if err := s.VersionKey(ctx, args[0]); err != nil {
			return err
		}
		k, err := s.ActiveBranchKey(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printKey(k)
	})
}

func (a *app) newKeyGet(o *storeOptions) *cobra.Command {
	var version string
	cmd := &cobra.Command{Use: "get ID", Short: "Show a branch key, but for the key itself", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&version, "version", "", "`VERSION` to show (default the active one)")
	return a.storeCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
		var k *branchkey.Key
		var err error
		if version == "" {
			k, err = s.ActiveBranchKey(ctx, args[0])
		} else {
			k, err = s.BranchKeyVersion(ctx, args[0], version)
		}
		if err != nil {
			return err
		}
		return a.printKey(k)
	})
}

// printKey prints a branch key without its secret, which it clears.
func (a *app) printKey(k *branchkey.Key) error {
	clear(k.Secret)
	var pairs strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.EncryptionContext)) {
		fmt.Fprintf(&pairs, "context      %s=%s\n", cli.Printable(name), cli.Printable(k.EncryptionContext[name]))
	}
	return a.Print(map[string]any{
		"branch_key_id": k.ID, "version": k.Version, "kms_key": k.KMSKeyARN, "create_time": k.CreateTime, "encryption_context": k.EncryptionContext,
	}, "branch key   %s\nversion      %s\nKMS key      %s\ncreated      %s\n%s",
		cli.Printable(k.ID), cli.Printable(k.Version), cli.Printable(k.KMSKeyARN), cli.Printable(k.CreateTime), pairs.String())
}
