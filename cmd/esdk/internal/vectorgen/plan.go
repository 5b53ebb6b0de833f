package vectorgen

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/vectors"
)

// The plan of this package: every suite with every kind of keyring. The indexes
// of both decide the frame length, plaintext and context of a message, so that
// each plan is the same, except for its keys.

// shapes are frame lengths with lengths of a plaintext, in bytes. There are
// seven shapes, eleven suites and five contexts. No two of these numbers share
// a factor, so every kind of keyring gets all shapes and contexts.
var shapes = []shape{{16, 75}, {100, 0}, {100, 437}, {4096, 1}, {128, 384}, {100, 100}, {4096, 10240}}

type shape struct {
	frame     uint32
	plaintext int
}

// tamperedShape has several frames, and the last one isn't full.
var tamperedShape = shape{100, 437}

// planContexts are encryption contexts with descriptions.
var planContexts = []struct {
	words string
	esdk.EncryptionContext
}{
	{"no context", nil},
	{"an ASCII context", esdk.EncryptionContext{"purpose": "vectors", "tenant": "42"}},
	// The capital letters sort before the key that signing suites add.
	{"a mixed-case context", esdk.EncryptionContext{"Zone": "b", "alpha": "A", "Beta": "2", "beta": "3"}},
	{"a non-ASCII context", esdk.EncryptionContext{"größe": "süß", "日本": "語", "z": "é"}},
	// In UTF-16, U+1F511 sorts before U+FF5E; in UTF-8, after it.
	{"a context beyond U+FFFF", esdk.EncryptionContext{"\U0001f511": "\U0001d11e", "～": "wave", "key": "\U0001f512"}},
}

// requirements are contexts, their required keys, and whether decryption gets
// the whole context or only the required pairs.
var requirements = []struct {
	esdk.EncryptionContext
	keys  []string
	whole bool
}{
	{esdk.EncryptionContext{"account": "12", "stage": "test"}, []string{"account"}, false},
	{esdk.EncryptionContext{"Account": "12", "stage": "test"}, []string{"Account", "stage"}, true},
	{esdk.EncryptionContext{"größe": "süß", "stage": "test"}, []string{"größe"}, true},
	{esdk.EncryptionContext{"stage": "test", "Zone": "b", "\U0001f511": "key"}, []string{"Zone", "\U0001f511"}, false},
}

// NewPlan returns the plan of this package, with new keys. Keys in the manifest
// named by the options replace new ones. AWS KMS keys are in the plan only if
// that manifest has them, or if kms names them.
func NewPlan(o vectors.Options, kms ...string) (*Plan, error) {
	var given []byte
	ks := &planKeys{Keys: vectors.Keys{}, new: vectors.Keys{}}
	if o.Keys != "" {
		var err error
		if given, err = os.ReadFile(o.Keys); err != nil {
			return nil, cli.Errorf("vectors: keys: %w", err)
		}
		have, err := vectors.ParseKeys(given)
		if err != nil {
			return nil, cli.Errorf("vectors: keys: %s: %w", o.Keys, err)
		}
		maps.Copy(ks.Keys, have)
	}
	for i, arn := range kms {
		ks.add(fmt.Sprintf("kms-%d", i+1), &vectors.Key{Type: "aws-kms", ID: arn})
	}
	p := &planner{planKeys: ks, Plan: &Plan{plaintexts: map[string]int{}, keys: ks.Keys, more: o.Keyring, version: 5, own: true}}
	if err := p.plan(); err != nil {
		return nil, cli.Errorf("vectors: %w", err)
	}
	var err error
	if p.keysText, err = ks.manifest(given); err != nil {
		return nil, cli.Errorf("vectors: keys: %w", err)
	}
	return p.Plan, nil
}

type planner struct {
	*Plan
	*planKeys
}

// A planKeyring is a kind of keyring: a key to encrypt with, and all ways to
// decrypt.
type planKeyring struct {
	name, words string
	encrypt     *vectors.KeyDescription
	decrypt     []planDecryption

	// unsigned means that it accepts only suites that don't sign.
	unsigned bool
}

type planDecryption struct {
	suffix string // of the test's ID
	key    *vectors.KeyDescription
}

func (p *planner) plan() error {
	keyrings, err := p.keyrings()
	if err != nil {
		return err
	}
	for i, s := range esdk.Suites() {
		for k, kr := range keyrings {
			if kr.unsigned && s.Signed() {
				continue
			}
			context := planContexts[(2*i+k)%len(planContexts)]
			m := p.message(s, kr.name, kr.encrypt, shapes[(i+k)%len(shapes)], context.EncryptionContext)
			for _, d := range kr.decrypt {
				p.decryption(m, d.suffix, d.key, nil, fmt.Sprintf("%s, %s", kr.words, context.words))
			}
		}
		p.required(s, i, keyrings)
		if err := p.negatives(s); err != nil {
			return err
		}
	}
	return p.checkNames()
}

// message adds a message and its plaintext.
func (p *planner) message(s esdk.SuiteID, name string, key *vectors.KeyDescription, sh shape, ec esdk.EncryptionContext) *scenario {
	m := &scenario{
		id: fmt.Sprintf("%04x-%s", uint16(s), name), encrypt: key, suite: s,
		frameLength: sh.frame, plaintext: fmt.Sprintf("bytes-%d", sh.plaintext), context: ec,
	}
	p.plaintexts[m.plaintext] = sh.plaintext
	p.scenarios = append(p.scenarios, m)
	return m
}

// decryption adds a test of a message.
func (p *planner) decryption(m *scenario, suffix string, key *vectors.KeyDescription, reproduced esdk.EncryptionContext, words string) {
	m.decrypt = append(m.decrypt, decryption{suffix: suffix, scenario: &vectors.DecryptionScenario{
		Description: fmt.Sprintf("%s, %d bytes in frames of %d", words, p.plaintexts[m.plaintext], m.frameLength),
		Suite:       vectors.SuiteID(m.suite), FrameLength: m.frameLength, Key: key,
		Context: withoutNil(m.context), ReproducedContext: withoutNil(reproduced),
	}})
}

func (p *planner) keyrings() ([]planKeyring, error) {
	var all []planKeyring
	for _, group := range []func() ([]planKeyring, error){p.rawAES, p.rawRSA, p.rawECDH, p.multi, p.hierarchy, p.kmsSymmetric, p.kmsRSA, p.kmsECDH} {
		keyrings, err := group()
		if err != nil {
			return nil, err
		}
		all = append(all, keyrings...)
	}
	return all, nil
}

// bothWays returns a keyring with the same description for both directions.
func bothWays(name, words string, d *vectors.KeyDescription) planKeyring {
	return planKeyring{name: name, words: words, encrypt: d, decrypt: []planDecryption{{"", d}}}
}

func aesDescription(key string) *vectors.KeyDescription {
	return &vectors.KeyDescription{Type: "raw", Key: key, ProviderID: "vectors-aes", Algorithm: "aes"}
}

func (p *planner) rawAES() (all []planKeyring, err error) {
	for _, bits := range []int{128, 192, 256} {
		key, err := p.aes(bits)
		if err != nil {
			return nil, err
		}
		all = append(all, bothWays(fmt.Sprintf("raw-aes-%d", bits), fmt.Sprintf("raw AES-%d", bits), aesDescription(key)))
	}
	return all, nil
}

// rsaPaddings are the paddings of RSA with their hash functions. The format
// needs one for PKCS #1 v1.5 too, where it has no meaning.
var rsaPaddings = []struct{ name, padding, hash string }{
	{"pkcs1", "pkcs1", "sha1"},
	{"oaep-sha1", "oaep-mgf1", "sha1"},
	{"oaep-sha256", "oaep-mgf1", "sha256"},
	{"oaep-sha384", "oaep-mgf1", "sha384"},
	{"oaep-sha512", "oaep-mgf1", "sha512"},
}

func rsaDescription(key, padding, hash string) *vectors.KeyDescription {
	return &vectors.KeyDescription{Type: "raw", Key: key, ProviderID: "vectors-rsa", Algorithm: "rsa", Padding: padding, Hash: hash}
}

func (p *planner) rawRSA() (all []planKeyring, err error) {
	private, public, err := p.rsa()
	if err != nil {
		return nil, err
	}
	for _, r := range rsaPaddings {
		kr := bothWays("raw-rsa-"+r.name, "raw RSA "+r.name, rsaDescription(private, r.padding, r.hash))
		kr.encrypt = rsaDescription(public, r.padding, r.hash)
		all = append(all, kr)
	}
	return all, nil
}

// ecdhDescription describes a key of type raw-ecdh or aws-kms-ecdh.
func ecdhDescription(keyType, schema, curve, key string) *vectors.KeyDescription {
	d := &vectors.KeyDescription{
		Type: keyType, Schema: schema, Curve: curve, Sender: schema, SenderPublicKey: schema,
		Recipient: key, RecipientPublicKey: "recipient-material-public-key",
	}
	if schema == "static" {
		d.Sender, d.SenderPublicKey = key, "sender-material-public-key"
	}
	if keyType == "raw-ecdh" {
		d.ProviderID = keyType
	}
	return d
}

// rawECDH also tests that the recipient's private key alone opens a message,
// with the sender's public key from the message.
func (p *planner) rawECDH() (all []planKeyring, err error) {
	for _, c := range curves {
		key, err := p.ecdh(c.name, c.bits, c.Curve)
		if err != nil {
			return nil, err
		}
		curve := strings.Replace(c.name, "ecc-", "p", 1)
		discovery := ecdhDescription("raw-ecdh", "discovery", c.name, key)
		static := bothWays("raw-ecdh-static-"+curve, "raw ECDH static "+curve, ecdhDescription("raw-ecdh", "static", c.name, key))
		static.decrypt = append(static.decrypt, planDecryption{"-by-discovery", discovery})
		ephemeral := bothWays("raw-ecdh-ephemeral-"+curve, "raw ECDH ephemeral "+curve, discovery)
		ephemeral.encrypt = ecdhDescription("raw-ecdh", "ephemeral", c.name, key)
		all = append(all, static, ephemeral)
	}
	return all, nil
}

// multi also tests that each member alone opens the message.
func (p *planner) multi() ([]planKeyring, error) {
	aesKey, err := p.aes(256)
	if err != nil {
		return nil, err
	}
	private, public, err := p.rsa()
	if err != nil {
		return nil, err
	}
	c := curves[1]
	ecdhKey, err := p.ecdh(c.name, c.bits, c.Curve)
	if err != nil {
		return nil, err
	}
	generator := aesDescription(aesKey)
	opening := []*vectors.KeyDescription{rsaDescription(private, "oaep-mgf1", "sha256"), ecdhDescription("raw-ecdh", "discovery", c.name, ecdhKey)}
	kr := bothWays("multi-keyring", "multi-keyring of AES, RSA and ECDH", multiDescription(generator, opening...))
	kr.encrypt = multiDescription(generator, rsaDescription(public, "oaep-mgf1", "sha256"), ecdhDescription("raw-ecdh", "ephemeral", c.name, ecdhKey))
	kr.decrypt = append(kr.decrypt, planDecryption{"-by-generator", generator}, planDecryption{"-by-rsa", opening[0]}, planDecryption{"-by-ecdh", opening[1]})
	return []planKeyring{kr}, nil
}

func multiDescription(generator *vectors.KeyDescription, children ...*vectors.KeyDescription) *vectors.KeyDescription {
	d := &vectors.KeyDescription{Type: "multi-keyring", Generator: generator, Children: []vectors.KeyDescription{}}
	for _, c := range children {
		d.Children = append(d.Children, *c)
	}
	return d
}

func (p *planner) hierarchy() ([]planKeyring, error) {
	key, err := p.branch()
	if err != nil {
		return nil, err
	}
	return []planKeyring{bothWays("hierarchy", "hierarchical keyring with a static branch key", &vectors.KeyDescription{Type: "aws-kms-hierarchy", Key: key})}, nil
}

// required adds the required encryption context CMM over a keyring that works
// with all suites.
func (p *planner) required(s esdk.SuiteID, i int, keyrings []planKeyring) {
	raw := keyrings[:3+len(rsaPaddings)+2*len(curves)]
	under, r := raw[i%len(raw)], requirements[i%len(requirements)]
	over := func(d *vectors.KeyDescription) *vectors.KeyDescription {
		return &vectors.KeyDescription{Type: "required-encryption-context-cmm", Underlying: d, RequiredKeys: r.keys}
	}
	reproduced := maps.Clone(r.EncryptionContext)
	for k := range r.EncryptionContext {
		if !r.whole && !slices.Contains(r.keys, k) {
			delete(reproduced, k)
		}
	}
	m := p.message(s, "required-context", over(under.encrypt), shapes[(i+5)%len(shapes)], r.EncryptionContext)
	p.decryption(m, "", over(under.decrypt[0].key), reproduced, "required encryption context CMM over "+under.words)
}
