// Go serves the official Go SDK by the protocol of ../../README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	keystoretypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygeneratedtypes"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"esdk/interop/gosdk"
	"esdk/interop/peer"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go KEYS")
		os.Exit(2)
	}
	k, err := gosdk.NewKeyrings(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // output of libraries isn't an answer
	requests := bufio.NewReader(os.Stdin)
	for {
		line, err := requests.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := answers.Encode(answer(k, line)); err != nil {
			return
		}
	}
}

type object map[string]any

func answer(k *gosdk.Keyrings, line []byte) (a any) {
	defer func() {
		if p := recover(); p != nil {
			a = object{"error": fmt.Sprintf("panic: %v", p)}
		}
	}()
	var r peer.Request
	err := json.Unmarshal(line, &r)
	if err == nil {
		a, err = do(context.Background(), k, &r)
	}
	if unsupported, ok := err.(peer.UnsupportedError); ok {
		return object{"unsupported": string(unsupported)}
	}
	if err != nil {
		text := strings.Join(strings.Fields(err.Error()), " ")
		return object{"error": text[:min(len(text), 500)]}
	}
	return a
}

func do(ctx context.Context, k *gosdk.Keyrings, r *peer.Request) (any, error) {
	switch {
	case r.Op == "hello":
		return object{
			"name": "aws-encryption-sdk-go", "version": version("encryption-sdk"),
			"with": "material providers " + version("mpl") + ", " + runtime.Version(),
		}, nil
	case r.Op == "store":
		return store(ctx, r)
	case r.API != "":
		return nil, peer.UnsupportedError("no master key providers")
	case r.Stream:
		return nil, peer.UnsupportedError("no streams")
	case r.Op == "encrypt":
		return encrypt(ctx, k, r)
	case r.Op == "decrypt":
		return decrypt(ctx, k, r)
	}
	return nil, fmt.Errorf("no operation %q", r.Op)
}

// version returns the version of a module of the SDK.
func version(name string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if strings.HasSuffix(m.Path, "/releases/go/"+name) {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "?"
}

func commits(suite string) bool { return suite == "0478" || suite == "0578" }

// materials returns the keyring or the CMM for a description.
func materials(ctx context.Context, k *gosdk.Keyrings, d *peer.Key) (mpltypes.IKeyring, mpltypes.ICryptographicMaterialsManager, error) {
	if d.Type == "required-encryption-context-cmm" {
		cmm, err := k.RequiredContext(ctx, d)
		return nil, cmm, err
	}
	kr, err := k.Keyring(ctx, d)
	return kr, nil, err
}

func encrypt(ctx context.Context, k *gosdk.Keyrings, r *peer.Request) (any, error) {
	if r.Frame == 0 {
		return nil, peer.UnsupportedError("writes no bodies without frames")
	}
	plaintext, err := os.ReadFile(r.In)
	if err != nil {
		return nil, err
	}
	policy := mpltypes.ESDKCommitmentPolicyForbidEncryptAllowDecrypt
	if commits(r.Suite) {
		policy = mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	}
	c, err := gosdk.NewClient(policy)
	if err != nil {
		return nil, err
	}
	id, frame := mpltypes.ESDKAlgorithmSuiteId("0x"+r.Suite), int64(r.Frame)
	in := officialtypes.EncryptInput{Plaintext: plaintext, AlgorithmSuiteId: &id, FrameLength: &frame, EncryptionContext: r.Context}
	if in.Keyring, in.MaterialsManager, err = materials(ctx, k, r.Key); err != nil {
		return nil, err
	}
	out, err := c.Encrypt(ctx, in)
	if err != nil {
		return nil, err
	}
	return object{}, os.WriteFile(r.Out, out.Ciphertext, 0o600)
}

func decrypt(ctx context.Context, k *gosdk.Keyrings, r *peer.Request) (any, error) {
	message, err := os.ReadFile(r.In)
	if err != nil {
		return nil, err
	}
	policy := mpltypes.ESDKCommitmentPolicyRequireEncryptAllowDecrypt
	if commits(r.Suite) {
		policy = mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	}
	c, err := gosdk.NewClient(policy)
	if err != nil {
		return nil, err
	}
	in := officialtypes.DecryptInput{Ciphertext: message, EncryptionContext: r.ReproducedContext}
	if in.Keyring, in.MaterialsManager, err = materials(ctx, k, r.Key); err != nil {
		return nil, err
	}
	out, err := c.Decrypt(ctx, in)
	if err != nil {
		return nil, err
	}
	return object{"context": out.EncryptionContext}, os.WriteFile(r.Out, out.Plaintext, 0o600)
}

func store(ctx context.Context, r *peer.Request) (any, error) {
	s, err := gosdk.KeyStore(ctx, r.Table, r.KMS)
	if err != nil {
		return nil, err
	}
	switch r.Action {
	case "create":
		_, err = s.CreateKeyStore(ctx, keystoretypes.CreateKeyStoreInput{})
		return object{}, err
	case "key":
		out, err := s.CreateKey(ctx, keystoretypes.CreateKeyInput{})
		if err != nil {
			return nil, err
		}
		return object{"id": out.BranchKeyIdentifier}, nil
	case "version":
		_, err = s.VersionKey(ctx, keystoretypes.VersionKeyInput{BranchKeyIdentifier: r.ID})
		return object{}, err
	case "active":
		if _, err := s.GetBeaconKey(ctx, keystoretypes.GetBeaconKeyInput{BranchKeyIdentifier: r.ID}); err != nil {
			return nil, err
		}
		out, err := s.GetActiveBranchKey(ctx, keystoretypes.GetActiveBranchKeyInput{BranchKeyIdentifier: r.ID})
		if err != nil {
			return nil, err
		}
		return object{"version": out.BranchKeyMaterials.BranchKeyVersion}, nil
	}
	return nil, fmt.Errorf("no action %q", r.Action)
}
