//go:build (pkcs11 || full) && linux

package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	p11 "github.com/miekg/pkcs11"
	"github.com/rogpeppe/go-internal/testscript"
)

// hardware is a token made by interop/backends/pkcs11.sh, with three keys: aes,
// rsa and ec. The files rsa.pub and ec.pub hold the public keys, and aes.key
// holds the whole AES key.
type hardware struct{ module, token, pin, label string }

func newHardware(t testing.TB, dir string) hardware {
	t.Helper()
	h := hardware{os.Getenv("ESDK_PKCS11_MODULE"), os.Getenv("ESDK_PKCS11_TOKEN"), os.Getenv("ESDK_PKCS11_PIN"), strings.ToLower(rand.Text()[:12])}
	if h.module == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal("ESDK_PKCS11_MODULE is not set: the command cannot be run on a token")
		}
		t.Skip("NOT RUN on a token: set ESDK_PKCS11_MODULE, see interop/backends/pkcs11.sh")
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := p11.New(h.module)
	check(ctx.Initialize())
	defer ctx.Finalize()
	slots, err := ctx.GetSlotList(true)
	check(err)
	var slot uint
	for _, s := range slots {
		if info, err := ctx.GetTokenInfo(s); err == nil && strings.TrimRight(info.Label, " \x00") == h.token {
			slot = s
		}
	}
	s, err := ctx.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	check(err)
	check(ctx.Login(s, p11.CKU_USER, h.pin))
	key := make([]byte, 32)
	rand.Read(key)
	attributes := func(kind string, more ...any) (list []*p11.Attribute) {
		more = append(more, p11.CKA_LABEL, kind+h.label, p11.CKA_ID, kind+h.label, p11.CKA_TOKEN, true)
		for i := 0; i < len(more); i += 2 {
			list = append(list, p11.NewAttribute(uint(more[i].(int)), more[i+1]))
		}
		return list
	}
	read := func(o p11.ObjectHandle, typ uint) []byte {
		values, err := ctx.GetAttributeValue(s, o, []*p11.Attribute{p11.NewAttribute(typ, nil)})
		check(err)
		return values[0].Value
	}
	_, err = ctx.CreateObject(s, attributes("aes", p11.CKA_CLASS, uint(p11.CKO_SECRET_KEY), p11.CKA_KEY_TYPE, uint(p11.CKK_AES),
		p11.CKA_VALUE, key, p11.CKA_ENCRYPT, true, p11.CKA_DECRYPT, true, p11.CKA_SENSITIVE, true, p11.CKA_EXTRACTABLE, false))
	check(err)
	rsaPublic, _, err := ctx.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		attributes("rsa", p11.CKA_MODULUS_BITS, uint(2048), p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}, p11.CKA_ENCRYPT, true),
		attributes("rsa", p11.CKA_DECRYPT, true, p11.CKA_SENSITIVE, true, p11.CKA_EXTRACTABLE, false))
	check(err)
	ecPublic, _, err := ctx.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)},
		attributes("ec", p11.CKA_EC_PARAMS, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")), // P-256
		attributes("ec", p11.CKA_DERIVE, true, p11.CKA_SENSITIVE, true, p11.CKA_EXTRACTABLE, false))
	check(err)
	point := read(ecPublic, p11.CKA_EC_POINT)
	public, err := ecdh.P256().NewPublicKey(point[len(point)-65:])
	check(err)
	write := func(name string, data []byte) { check(os.WriteFile(filepath.Join(dir, name), data, 0o600)) }
	writePublic := func(name string, key any) {
		der, err := x509.MarshalPKIXPublicKey(key)
		check(err)
		write(name, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	write("aes.key", []byte(hex.EncodeToString(key)))
	write("pin", []byte(h.pin+"\n"))
	write("wrong", []byte("87654321\n"))
	writePublic("rsa.pub", &rsa.PublicKey{N: new(big.Int).SetBytes(read(rsaPublic, p11.CKA_MODULUS)), E: 65537})
	writePublic("ec.pub", public)
	return h
}

func (h hardware) uri(kind, query string) string {
	return "pkcs11:token=" + h.token + ";object=" + kind + h.label + "?module-path=" + h.module + query
}

func TestPKCS11Scripts(t *testing.T) {
	params := scriptParams(t, "testdata/pkcs11")
	params.Cmds["expand"] = cmdExpand
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		h := newHardware(t, env.WorkDir)
		pin := "&pin-source=file:" + filepath.Join(env.WorkDir, "pin")
		for name, value := range map[string]string{
			"AES": h.uri("aes", pin+"&namespace=corp&name=backup"), "RSA": h.uri("rsa", pin+"&namespace=corp&name=archive&pad=oaep-sha1"),
			"EC": h.uri("ec", pin), "TOKEN": h.token, "MODULE": h.module, "LABEL": h.label, "PIN": pin,
			"NOPIN":         h.uri("aes", "&namespace=corp&name=backup"),
			"WRONG":         h.uri("aes", "&namespace=corp&name=backup&pin-source="+filepath.Join(env.WorkDir, "wrong")),
			"SOFTHSM2_CONF": os.Getenv("SOFTHSM2_CONF"), "KRYOPTIC_CONF": os.Getenv("KRYOPTIC_CONF"),
		} {
			env.Setenv(name, value)
		}
		return setup(env)
	}
	testscript.Run(t, params)
}

// prompted runs the command with its own terminal, answers the prompt for the
// PIN, and returns the text that the terminal shows.
func prompted(t *testing.T, h hardware, answer string, args ...string) (shown []byte, err error) {
	t.Helper()
	return onTerminal(t, []exchange{{h.token + ": ", answer}}, args...)
}

// TestPKCS11Prompt checks that the PIN is asked for once on the terminal, and
// isn't shown there.
func TestPKCS11Prompt(t *testing.T) {
	dir := t.TempDir()
	h := newHardware(t, dir)
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, pattern(5000), 0o600); err != nil {
		t.Fatal(err)
	}
	key := h.uri("aes", "&namespace=corp&name=backup")
	shown, err := prompted(t, h, h.pin+"\r", "encrypt", "-k", key, "-k", key, name)
	if err != nil || bytes.Contains(shown, []byte(h.pin)) || bytes.Count(shown, []byte("PIN")) != 1 {
		t.Errorf("the terminal shows %q: %v", shown, err)
	}
	if out, err := exec.Command("esdk", "verify", "-k", "aes:corp/backup@"+filepath.Join(dir, "aes.key"), name+".encrypted").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for answer, want := range map[string]int{"\x03": cli.ExitInterrupted, "\x04": cli.ExitInterrupted, "\r": cli.ExitUsage, "87654321\r": cli.ExitUsage} {
		shown, err := prompted(t, h, answer, "verify", "-k", key, name+".encrypted")
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != want || bytes.Contains(shown, []byte("8765")) {
			t.Errorf("%q: the terminal shows %q: %v", answer, shown, err)
		}
	}
}

// TestPKCS11URIs checks that an incomplete URI is reported before a token is
// used.
func TestPKCS11URIs(t *testing.T) {
	const module = "?module-path=/none.so"
	for text, want := range map[string]string{
		"token=t;object=k":                                              "no module given:",
		"token=t" + module:                                              "no key given:",
		"object=k" + module + "&namespace=n":                            "must be given together",
		"object=k;type=public" + module:                                 "without the token",
		"object=k" + module + "&namespace=n&name=m&pad=x":               "not one of pkcs1",
		"object=k" + module + "&pad=pkcs1":                              "for RSA keys",
		"object=k;type=secret-key" + module:                             "needs namespace and name",
		"object=k" + module + "&namespace=n&name=m&peer=f":              "for ECDH keys",
		"object=k" + module + "&namespace=n&name=m&iv=x":                "the only value is token",
		"object=k" + module + "&iv=token":                               "for AES keys",
		"object=k" + module:                                             "to encrypt",
		"object=k" + module + "&colour=red":                             "has no colour",
		"object=k" + module + "&namespace=n&name=m&pin-value=8642":      "pin-source",
		"object=k" + module + "&namespace=n&name=m&pin-source=/no/file": "cannot be loaded",
	} {
		_, err := newApp().keys.Parse(t.Context(), "pkcs11:"+text, true)
		if err == nil || !strings.Contains(err.Error()+cli.Hint(err), want) || strings.Contains(err.Error(), "8642") {
			t.Errorf("%s: %v", text, err)
		}
		if refused := (*cli.Error)(nil); !errors.As(err, &refused) || refused.Code != cli.ExitUsage {
			t.Errorf("%s: exit status %d", text, cli.ExitStatus(err))
		}
	}
}
