package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/settings"
	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
)

func (a *app) newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Explain the kinds of keys; list, show and test named keys",
		Long:  keyspec.Help(),
		Args:  onlyCommands,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("no command given: use list, show or test")
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the named keys",
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return a.listKeys() },
	}
	show := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the configuration of a key, with its paths resolved",
		Args:  oneArgument("NAME"),

		ValidArgsFunction: a.completeNamedKey,
		RunE:              func(_ *cobra.Command, names []string) error { return a.showKey(strings.TrimPrefix(names[0], "@")) },
	}
	var dryRun bool
	test := &cobra.Command{
		Use:   "test KEY...",
		Short: "Encrypt a data key under each key, and decrypt it again",
		Long: `Encrypt a new data key under each KEY, and decrypt it again. A KEY is a name of
the configuration, or any value of -k. If a key only encrypts, only that is
tested. A key that only decrypts can't be tested without a message.

With --dry-run, AWS KMS is asked whether the credentials may encrypt and decrypt
with each KEY, an ARN or an alias, and the key is not used. The exit status is 3
if they may do only one of the two.`,
		Example: `  esdk keys test backup
  esdk keys test arn:aws:kms:us-west-2:111122223333:key/…`,
		Args: someArguments("KEY"),
		RunE: func(cmd *cobra.Command, keys []string) error {
			if dryRun {
				return a.testKeys(cmd.Context(), keys, a.testAccess)
			}
			return a.testKeys(cmd.Context(), keys, a.testKey)
		},
	}
	test.Flags().BoolVar(&dryRun, "dry-run", false, "only ask AWS KMS for permission")
	cmd.AddCommand(list, show, test)
	return cmd
}

func (a *app) listKeys() error {
	c, _, err := a.keys.LoadConfig()
	if err != nil {
		return err
	}
	type line struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	lines := []line{}
	var wrong error // the first key that can't be used
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		lines = append(lines, line{name, c.Keys[name].Type})
		if err := c.Check(name); err != nil && wrong == nil {
			wrong = keyspec.KeyError("@"+name, err)
		}
	}
	if a.JSON {
		return cmp.Or(a.PrintJSON(lines), wrong)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(w, "@%s\t%s\n", cli.Printable(l.Name), cli.Printable(l.Type))
	}
	return cmp.Or(w.Flush(), wrong)
}

// showKey prints a key of the configuration. The configuration holds no
// secrets.
func (a *app) showKey(name string) error {
	c, file, err := a.keys.LoadConfig()
	if err != nil {
		return err
	}
	k, err := c.Key(file, name)
	if err != nil {
		return err
	}
	if err := c.Check(name); err != nil {
		return keyspec.KeyError("@"+name, err)
	}
	fields := make(map[string]any)
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(k); err != nil {
		return err
	}
	if _, err := toml.Decode(text.String(), &fields); err != nil {
		return err
	}
	maps.DeleteFunc(fields, func(field string, _ any) bool { return !slices.Contains(c.Fields[name], field) })
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(map[string]any{"name": name, "config": path, "key": fields})
	}
	fmt.Fprintf(a.Stdout, "# %s\n", cli.Printable(path))
	e := toml.NewEncoder(a.Stdout)
	e.Indent = ""
	return e.Encode(map[string]any{"keys": map[string]any{name: fields}})
}

func (a *app) testKeys(ctx context.Context, keys []string, test func(context.Context, string) error) error {
	failed := 0
	var last error
	for _, k := range keys {
		if err := test(ctx, a.keyText(k)); err != nil {
			failed++
			last = err
			if len(keys) > 1 {
				a.Report(k, err)
			}
		}
	}
	if failed > 0 && len(keys) > 1 {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d keys failed", failed, len(keys))
	}
	return last
}

// A keyTest is the result of testing a key.
type keyTest struct {
	Key      string   `json:"key"`
	WrapMS   *float64 `json:"wrap_ms,omitempty"`
	UnwrapMS *float64 `json:"unwrap_ms,omitempty"`
}

// keyText adds the @ to a name of the configuration. For this command it's
// optional.
func (a *app) keyText(text string) string {
	if !keyspec.IsKey(text) && (a.hasKey(text) || !a.keys.SaysName(text)) {
		return "@" + text
	}
	return text
}

// testAccess reports whether the credentials allow encrypting and decrypting
// with a key.
func (a *app) testAccess(ctx context.Context, text string) error {
	access, err := a.keys.KMSAccess(ctx, text)
	if err != nil {
		return keyspec.KeyError(text, err)
	}
	encrypt, decrypt := a.settings.Explain("", access.Encrypt), a.settings.Explain("", access.Decrypt)
	if encrypt != nil && decrypt != nil {
		return keyspec.KeyError(text, encrypt)
	}
	result := map[string]any{"key": text, "may_encrypt": encrypt == nil, "may_decrypt": decrypt == nil}
	only, err := "encrypt and decrypt", cmp.Or(encrypt, decrypt)
	switch {
	case encrypt != nil:
		only = "decrypt, and not encrypt"
	case decrypt != nil:
		only = "encrypt, and not decrypt"
	}
	if err := a.Print(result, "%s: these credentials may %s\n", cli.Printable(text), only); err != nil {
		return err
	}
	if err != nil {
		return cli.WithCode(cli.ExitSomeFailed, keyspec.KeyError(text, err))
	}
	return nil
}

func (a *app) testKey(ctx context.Context, text string) error {
	wrapper, wrapErr := a.keys.Parse(ctx, text, true)
	unwrapper, unwrapErr := a.keys.Parse(ctx, text, false)
	if wrapErr != nil && unwrapErr != nil {
		return unwrapErr
	}
	if wrapErr != nil {
		return cli.NewError(cli.ExitNoKey, "%s only decrypts, so testing it needs a message", cli.Printable(text)).
			WithHint("use \"esdk verify -k %s FILE\" with a message", cli.Quoted(text))
	}
	t := keyTest{Key: text}
	const suite = esdk.AES256GCMHKDFSHA512Commit // all kinds of keys support it
	ec := esdk.EncryptionContext{"purpose": "esdk keys test"}
	start := time.Now()
	r, err := wrapper.Wrap(ctx, &esdk.WrapRequest{Suite: suite, EncryptionContext: ec})
	if err != nil {
		return keyspec.KeyError(text, a.settings.Explain("", err))
	}
	defer clear(r.DataKey)
	t.WrapMS = since(start)
	if unwrapErr != nil {
		unwrapper, unwrapErr = a.keys.Parse(ctx, text, false) // Wrap may have made the key
	}
	if unwrapErr == nil && !a.keys.IsKMSAlias(text) {
		start = time.Now()
		dataKey, err := unwrapper.Unwrap(ctx, &esdk.UnwrapRequest{Suite: suite, EncryptionContext: ec, EncryptedDataKeys: r.EncryptedDataKeys})
		if err == nil && !bytes.Equal(dataKey, r.DataKey) {
			err = errors.New("the key decrypted to another data key")
		}
		if err != nil {
			return keyspec.KeyError(text, a.settings.Explain("", err))
		}
		clear(dataKey)
		t.UnwrapMS = since(start)
	}
	return a.printKeyTest(&t)
}

// hasKey reports whether the configuration has a key with this name.
func (a *app) hasKey(name string) bool {
	c, _, err := a.keys.LoadConfig()
	if err != nil {
		return false
	}
	_, ok := c.Keys[name]
	return ok
}

func since(start time.Time) *float64 {
	ms := float64(time.Since(start).Microseconds()) / 1000
	return &ms
}

func (a *app) printKeyTest(t *keyTest) error {
	if a.JSON {
		return a.PrintJSON(t)
	}
	if t.UnwrapMS == nil {
		_, err := fmt.Fprintf(a.Stdout, "%s encrypts in %.2f ms; it does not decrypt\n", cli.Printable(t.Key), *t.WrapMS)
		return err
	}
	_, err := fmt.Fprintf(a.Stdout, "%s encrypts in %.2f ms and decrypts in %.2f ms\n", cli.Printable(t.Key), *t.WrapMS, *t.UnwrapMS)
	return err
}

func (a *app) addKeyFlag(cmd *cobra.Command, keys *[]string, encrypt bool) {
	usage := settings.DecryptKeyUsage
	if encrypt {
		usage = settings.EncryptKeyUsage
	}
	cmd.Flags().StringArrayVarP(keys, "key", "k", nil, usage)
	a.completeKeys(cmd, "key")
}

func (a *app) completeKeys(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		cmd.RegisterFlagCompletionFunc(name, a.completeKey)
	}
}
