// Gopeer encrypts and decrypts with the keyrings of the official Go SDK, and
// manages its key stores. Its command line is that of ../kms/peer.py and, for raw
// keys, of ../live/peer.py:
//
//	gopeer encrypt --key KEY [--suite HEX] [-c K=V]... IN OUT
//	gopeer decrypt --key KEY [-c K=V]... IN OUT
//	gopeer store create|key TABLE KMS-ARN
//	gopeer store version|active TABLE KMS-ARN ID
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygeneratedtypes"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	official "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	"github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"esdk/interop/gosdk"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		// One line is enough for the caller.
		fmt.Fprintln(os.Stderr, "gopeer:", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && (args[0] == "encrypt" || args[0] == "decrypt"):
		return convert(ctx, args[0], args[1:])
	case len(args) >= 4 && args[0] == "store":
		return store(ctx, args[1], args[2], args[3], args[4:])
	}
	return errors.New("usage: gopeer encrypt|decrypt --key KEY [--suite HEX] [-c K=V]... IN OUT, gopeer store create|key|version|active TABLE KMS-ARN [ID]")
}

// pairs is the encryption context of the flag -c.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	k, v, ok := strings.Cut(text, "=")
	if !ok || k == "" {
		return errors.New("want K=V")
	}
	p[k] = v
	return nil
}

func convert(ctx context.Context, verb string, args []string) error {
	ec := make(pairs)
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	key := flags.String("key", "", "the wrapping key")
	suite := flags.String("suite", "0578", "the algorithm suite, in hexadecimal")
	flags.Var(ec, "c", "a pair of the encryption context")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("want IN and OUT")
	}
	in, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	kr, err := gosdk.Keyring(ctx, *key)
	if err != nil {
		return err
	}
	c, err := gosdk.NewClient()
	if err != nil {
		return err
	}
	var out []byte
	if verb == "encrypt" {
		out, err = encrypt(ctx, c, kr, *suite, ec, in)
	} else {
		out, err = decrypt(ctx, c, kr, ec, in)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(flags.Arg(1), out, 0o600)
}

func encrypt(ctx context.Context, c *official.Client, kr mpltypes.IKeyring, suite string, ec map[string]string, in []byte) ([]byte, error) {
	id := mpltypes.ESDKAlgorithmSuiteId("0x" + suite)
	out, err := c.Encrypt(ctx, awscryptographyencryptionsdksmithygeneratedtypes.EncryptInput{
		Plaintext: in, AlgorithmSuiteId: &id, EncryptionContext: ec, Keyring: kr,
	})
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

// decrypt checks that the pairs are in the message.
func decrypt(ctx context.Context, c *official.Client, kr mpltypes.IKeyring, ec map[string]string, in []byte) ([]byte, error) {
	out, err := c.Decrypt(ctx, awscryptographyencryptionsdksmithygeneratedtypes.DecryptInput{Ciphertext: in, Keyring: kr})
	if err != nil {
		return nil, err
	}
	for k, v := range ec {
		if got, ok := out.EncryptionContext[k]; !ok || got != v {
			return nil, errors.New("the message has another encryption context")
		}
	}
	return out.Plaintext, nil
}

func store(ctx context.Context, action, table, arn string, rest []string) error {
	s, err := gosdk.KeyStore(ctx, table, arn)
	if err != nil {
		return err
	}
	id := strings.Join(rest, " ")
	switch action {
	case "create":
		_, err = s.CreateKeyStore(ctx, awscryptographykeystoresmithygeneratedtypes.CreateKeyStoreInput{})
		return err
	case "key":
		out, err := s.CreateKey(ctx, awscryptographykeystoresmithygeneratedtypes.CreateKeyInput{})
		if err == nil {
			fmt.Println(out.BranchKeyIdentifier)
		}
		return err
	case "version":
		_, err = s.VersionKey(ctx, awscryptographykeystoresmithygeneratedtypes.VersionKeyInput{BranchKeyIdentifier: id})
		return err
	case "active":
		// Its beacon key is read as well, which no message needs.
		if _, err := s.GetBeaconKey(ctx, awscryptographykeystoresmithygeneratedtypes.GetBeaconKeyInput{BranchKeyIdentifier: id}); err != nil {
			return err
		}
		out, err := s.GetActiveBranchKey(ctx, awscryptographykeystoresmithygeneratedtypes.GetActiveBranchKeyInput{BranchKeyIdentifier: id})
		if err == nil {
			fmt.Println(out.BranchKeyMaterials.BranchKeyVersion)
		}
		return err
	}
	return fmt.Errorf("no action %q", action)
}
