package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"esdk/branchkey"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/settings"
	"esdk/internal/kmsarn"
	"github.com/spf13/cobra"
)

func addStoreFlags(cmd *cobra.Command, o *keyspec.StoreOptions) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.Table, "table", "", "the key store is this DynamoDB `TABLE`")
	flags.StringVar(&o.File, "file", "", "the key store is this `FILE` on this machine")
	flags.StringVar(&o.LogicalName, "logical-name", "", "the logical `NAME` of the key store (default: the name of the table)")
	flags.StringVar(&o.KMSKey, "kms-key", "", "the `ARN` of the KMS key of branch keys; needed to create them (default: the one that each branch key names)")
	flags.StringArrayVar(&o.FormerKeys, "former-kms-key", nil, "the `ARN` of a KMS key that branch keys may still be under; repeatable")
}

func (a *app) newKeystoreCommand() *cobra.Command {
	o := new(keyspec.StoreOptions)
	cmd := &cobra.Command{
		Use:   "keystore",
		Short: "Manage key stores and the branch keys in them",
		Long: `Manage key stores and the branch keys in them, for -k branch:TABLE/BRANCH-KEY-ID.
A key store is a DynamoDB table, which the official SDKs can use too, or a file.
Keys never leave it in plaintext, and none is printed.`,
		Example: `  esdk keystore create --table keys --kms-key arn:…
  esdk keystore key create --table keys --kms-key arn:… --id tenant-17 -c tenant=17
  esdk encrypt -k 'branch:keys/tenant-17?kms=arn:…' file
  esdk keystore key version tenant-17 --table keys --kms-key arn:…
  esdk keystore key list --table keys
  esdk keystore key rekey --all --table keys --kms-key arn:…old --to arn:…new`,
		Args: onlyCommands,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("no command given: use create, info or key")
		},
	}
	addStoreFlags(cmd, o)
	key := &cobra.Command{
		Use:   "key",
		Short: "Create, version, show, list and re-key branch keys",
		Args:  onlyCommands,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("no command given: use create, version, get, versions, list or rekey")
		},
	}
	key.AddCommand(a.newKeyCreate(o), a.newKeyVersion(o), a.newKeyGet(o), a.newKeyVersions(o), a.newKeyList(o), a.newKeyRekey(o))
	cmd.AddCommand(a.newKeystoreCreate(o), a.newKeystoreInfo(o), key)
	return cmd
}

// storeCommand adds to a command a RunE that opens the key store.
func (a *app) storeCommand(o *keyspec.StoreOptions, cmd *cobra.Command, run func(ctx context.Context, s *branchkey.Store, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for flag, arns := range map[string][]string{"--kms-key": {o.KMSKey}, "--former-kms-key": o.FormerKeys} {
			for _, arn := range arns {
				if _, err := kmsarn.ParseKey(arn); err != nil && arn != "" {
					return cli.UsageError("%s %s: %w", flag, cli.Printable(arn), err)
				}
			}
		}
		s, err := a.keys.OpenStore(cmd.Context(), o)
		if err != nil {
			return err
		}
		return explainStore(run(cmd.Context(), s, args))
	}
	return cmd
}

// keyCommand is like storeCommand, for a key store that exists.
func (a *app) keyCommand(o *keyspec.StoreOptions, cmd *cobra.Command, run func(ctx context.Context, s *branchkey.Store, args []string) error) *cobra.Command {
	return a.storeCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
		if err := o.CheckFile(); err != nil {
			return err
		}
		return run(ctx, s, args)
	})
}

// explainStore adds hints to errors of key stores.
func explainStore(err error) error {
	switch {
	case errors.Is(err, branchkey.ErrNoKeyStore):
		return cli.Hinted(err, "\"esdk keystore create\" creates it")
	case errors.Is(err, branchkey.ErrKMSKey):
		return cli.Hinted(err, "check --kms-key and --former-kms-key; \"esdk keystore key list\" shows the KMS key of each branch key")
	case keyspec.IsOtherName(err):
		return cli.Hinted(err, "if the key store has another logical name, use --logical-name NAME; otherwise the item was modified")
	case errors.Is(err, branchkey.ErrConflict):
		return cli.Hinted(err, "another process created a new version; check \"esdk keystore key get\" before you retry")
	case errors.Is(err, branchkey.ErrDiscovery):
		return cli.Hinted(cli.WithCode(cli.ExitUsage, err), "use --kms-key ARN")
	}
	return err
}

func (a *app) newKeystoreCreate(o *keyspec.StoreOptions) *cobra.Command {
	return a.storeCommand(o, &cobra.Command{Use: "create", Short: "Create a key store, unless it exists", Args: noArguments},
		func(ctx context.Context, s *branchkey.Store, _ []string) error {
			name, err := s.CreateKeyStore(ctx)
			if err == nil {
				err = checkLogicalName(ctx, s)
			}
			if err != nil {
				return err
			}
			return a.Print(map[string]string{"key_store": name}, "%s\n", name)
		})
}

// checkLogicalName rejects another logical name than the one that the first
// branch key was created under. Only a KMS key can tell, so it accepts the name
// if that can't be used.
func checkLogicalName(ctx context.Context, s *branchkey.Store) error {
	for e, err := range s.List(ctx, "") {
		if err != nil {
			return nil // e is malformed, or the credentials don't allow lists
		}
		if !e.Active {
			continue
		}
		k, err := s.ActiveBranchKey(ctx, e.ID)
		if keyspec.IsOtherName(err) {
			return fmt.Errorf("the key store exists and already has branch keys: %w", err)
		}
		if err == nil {
			clear(k.Secret)
		}
		break
	}
	return nil
}

func (a *app) newKeystoreInfo(o *keyspec.StoreOptions) *cobra.Command {
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

func (a *app) newKeyCreate(o *keyspec.StoreOptions) *cobra.Command {
	var id string
	var ec settings.Context
	cmd := &cobra.Command{Use: "create", Short: "Create a branch key, and print its ID", Args: noArguments}
	cmd.Flags().StringVar(&id, "id", "", "`ID` of the branch key; needs a context (default: a random ID)")
	cmd.Flags().StringArrayVarP(&ec.Pairs, "context", "c", nil, "pair `KEY=VALUE` that is bound to the branch key; repeatable")
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, _ []string) error {
		pairs, bare, err := ec.Parse()
		if err != nil {
			return err
		}
		if len(bare) > 0 {
			return cli.UsageError("-c %s: must be KEY=VALUE", cli.Printable(bare[0]))
		}
		if id != "" && len(pairs) == 0 {
			return cli.UsageError("--id needs an encryption context: use -c KEY=VALUE")
		}
		created, err := s.CreateKey(ctx, id, pairs)
		if err != nil {
			return err
		}
		return a.Print(map[string]string{"branch_key_id": created}, "%s\n", created)
	})
}

func (a *app) newKeyVersion(o *keyspec.StoreOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "version ID", Short: "Create a new version of a branch key, for new messages", Args: oneArgument("ID")}
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
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

func (a *app) newKeyGet(o *keyspec.StoreOptions) *cobra.Command {
	var version string
	cmd := &cobra.Command{Use: "get ID", Short: "Show a branch key, without the key itself", Args: oneArgument("ID")}
	cmd.Flags().StringVar(&version, "version", "", "`VERSION` to show (default: the active one)")
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
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

// printKey prints a branch key without its secret, and clears the secret.
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
