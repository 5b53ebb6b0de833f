package main

import (
	"fmt"
	"maps"
	"slices"

	"esdk/internal/suite"
)

// A test is a message that one side writes and the other side reads, with each
// of its keys.
type test struct {
	feature string // the row of the table that it counts in
	note    string // a special property
	suite   *suite.Suite
	use     use
	frame   uint32
	size    int
	context string // the name of one of contexts
	api     string
	stream  bool
	legacy  bool
	command bool // we are the command, not the library

	unframed bool // the body is not framed
	full     bool // the final frame is full

	reproduced map[string]string // of the required context CMM
	tamper     string            // one of tamperings; the message must be refused

	// The directions: for instance, only we read bodies without frames.
	onlyOurs, onlyTheirs bool
}

func (t *test) String() string {
	text := fmt.Sprintf("%s, %04x, %d bytes in frames of %d, context %s", t.feature, t.suite.ID, t.size, t.frame, t.context)
	if t.note != "" {
		text += ", " + t.note
	}
	return text
}

var contexts = map[string]map[string]string{
	"none":  {},
	"ASCII": {"purpose": "interop", "tenant": "42"},
	// The capital letters sort before the key that signing suites add, in byte
	// order only.
	"mixed case": {"Zone": "b", "alpha": "A", "Beta": "2", "beta": "3"},
	// In UTF-16 order U+1F511 comes before U+FF5E, in UTF-8 order after it.
	"beyond ASCII and U+FFFF": {"größe": "süß", "日本": "語", "\U0001f511": "\U0001d11e", "\uff5e": "wave"},
	"many pairs":              manyPairs(),
}

var contextNames = slices.Sorted(maps.Keys(contexts))

func manyPairs() map[string]string {
	pairs := map[string]string{}
	for i := range 40 {
		pairs[fmt.Sprintf("%c-key-%d", "aZbYcX"[i%6], i)] = fmt.Sprintf("value %d", i*i)
	}
	return pairs
}

// The Python SDK and the CLI encrypt only with frame lengths that are multiples
// of 128; all SDKs read any.
var shapes = []struct {
	frame uint32
	size  int
}{{128, 441}, {128, 0}, {256, 600}, {4096, 1}, {128, 384}, {128, 128}, {4096, 1000}}

// A plan is a list of tests for one SDK. Lengths and contexts are spread over
// its keys and suites, since their numbers have no common factor.
type plan struct {
	tests    []*test
	n        int
	keyrings bool // the SDK has keyrings, not only master keys
}

func (p *plan) add(t test) {
	if t.frame == 0 && t.size == 0 && !t.unframed {
		t.frame, t.size = shapes[p.n%len(shapes)].frame, shapes[p.n%len(shapes)].size
	}
	if t.context == "" {
		t.context = contextNames[p.n%len(contextNames)]
	}
	p.n++
	if !p.keyrings && t.api != "" && isFull(t.size, t.frame) && t.tamper == "" {
		p.fullFrame(t)
		t.onlyTheirs = true
	}
	p.tests = append(p.tests, &t)
}

// isFull reports whether our message ends with a full frame.
func isFull(size int, frame uint32) bool { return size > 0 && frame > 0 && size%int(frame) == 0 }

func (p *plan) eachSuite(feature, note string, u use, change ...func(*test)) {
	for _, s := range suite.All {
		t := test{feature: feature, note: note, suite: s, use: u}
		for _, c := range change {
			c(&t)
		}
		p.add(t)
	}
}

func masterKeys(t *test) { t.api = "master-key" }
func streams(t *test)    { t.stream = true }

// These are the rows of the table, in order.
const (
	everything  = "suites × lengths × contexts"
	frames      = "other frame lengths"
	rawAES      = "raw AES, 128, 192, 256 bits"
	rawRSA      = "raw RSA, "
	rawStatic   = "raw ECDH, static"
	rawEphem    = "raw ECDH, ephemeral"
	multiRaw    = "multi-keyring, each member alone"
	multiKMS    = "multi-keyring with AWS KMS"
	multiHPKE   = "multi-keyring with `hpke`, by the other key"
	reqContext  = "required encryption context"
	nonFramed   = "bodies without frames"
	streamed    = "streams"
	rawMaster   = "raw master keys"
	kmsMaster   = "AWS KMS master keys"
	kmsStrict   = "AWS KMS"
	kmsMRK      = "AWS KMS, multi-Region"
	kmsDisc     = "AWS KMS, discovery"
	kmsMRKDisc  = "AWS KMS, multi-Region discovery"
	kmsRSARow   = "AWS KMS, RSA"
	kmsECDH     = "AWS KMS, ECDH"
	hierarchy   = "hierarchical, key store"
	rekeyed     = "hierarchical, before, while and after the key store is re-keyed"
	tampered    = "refuses tampered messages"
	withCommand = "with the command `esdk`"
	ownVectors  = "test vectors of `esdk vectors generate`"
)

var paddings = map[string]string{"pkcs1": "PKCS #1 v1.5", "sha1": "OAEP SHA-1", "sha256": "OAEP SHA-256", "sha384": "OAEP SHA-384", "sha512": "OAEP SHA-512"}

var paddingNames = []string{"pkcs1", "sha1", "sha256", "sha384", "sha512"}

var rows = slices.Concat(
	[]string{everything, frames, rawAES},
	[]string{rawRSA + paddings["pkcs1"], rawRSA + paddings["sha1"], rawRSA + paddings["sha256"], rawRSA + paddings["sha384"], rawRSA + paddings["sha512"]},
	[]string{rawStatic, rawEphem, multiRaw, reqContext, nonFramed, streamed, rawMaster},
	[]string{kmsStrict, kmsMRK, kmsDisc, kmsMRKDisc, kmsRSARow, kmsECDH, hierarchy, rekeyed, multiKMS, multiHPKE, kmsMaster, tampered, withCommand, ownVectors},
)

// newPlan returns all tests except for key stores and test vectors, for an SDK
// with keyrings or with only master keys: the SDK itself reports missing
// features.
func newPlan(keyrings bool) []*test {
	p := &plan{keyrings: keyrings}
	p.everything()
	p.rawKeys()
	p.requiredContext()
	p.kmsKeys()
	p.differences()
	p.commands()
	p.masterKeys()
	p.unknownKeys()
	p.tampered()
	return p.tests
}

const mebibyte = 1 << 20

// api returns the API to use where either works.
func (p *plan) api() string { return map[bool]string{false: "master-key"}[p.keyrings] }

func (p *plan) everything() {
	for _, s := range suite.All {
		for _, size := range []int{0, 1, 4096, 3 * 4096, 10_000, 10 * mebibyte} {
			for _, name := range contextNames {
				p.add(test{feature: everything, suite: s, use: aes(256), frame: 4096, size: size, context: name, api: p.api()})
			}
		}
		for _, frame := range []uint32{1, 100, 4095, 1 << 16, 1 << 20} {
			p.add(test{feature: frames, suite: s, use: aes(128), frame: frame, size: min(int(frame)*3+1, 2*mebibyte), context: "ASCII", api: p.api()})
		}
		for i, size := range []int{0, 1, 437, 4096, mebibyte} {
			p.add(test{feature: nonFramed, suite: s, use: aes(192), size: size, context: contextNames[i], unframed: true, onlyTheirs: true, api: p.api()})
		}
		for _, size := range []int{0, 1, 4096, 12_288, 3 * mebibyte} {
			p.add(test{feature: streamed, suite: s, use: aes(256), frame: 4096, size: size, context: contextNames[size%5], stream: true, api: p.api()})
		}
	}
}

func (p *plan) rawKeys() {
	for _, bits := range []int{128, 192, 256} {
		p.eachSuite(rawAES, fmt.Sprintf("%d bits", bits), aes(bits))
	}
	for _, name := range paddingNames {
		words := paddings[name]
		p.eachSuite(rawRSA+words, "", rsaKey(name))
	}
	for _, curve := range curveNames {
		p.eachSuite(rawStatic, curve, static("raw-ecdh", curve))
		p.eachSuite(rawEphem, curve, ephemeral(curve))
	}
	for i, s := range suite.All {
		padding, curve := paddingNames[i%5], curveNames[i%3]
		uses := map[string]use{
			"AES and RSA":           multi(aes(256), rsaKey(padding)),
			"RSA and AES":           multi(rsaKey(padding), aes(128)),
			"AES and ECDH":          multi(aes(192), static("raw-ecdh", curve)),
			"ECDH, RSA, AES":        multi(ephemeral(curve), rsaKey(padding), aes(256)),
			"two AES keys, one RSA": multi(aes(128), aes(256), rsaKey("sha256")),
		}
		for _, note := range slices.Sorted(maps.Keys(uses)) {
			p.add(test{feature: multiRaw, note: note, suite: s, use: uses[note]})
		}
	}
}

func (p *plan) requiredContext() {
	for i, s := range suite.All {
		for j, c := range []struct {
			context string
			keys    []string
			whole   bool // decryption gets the whole context instead of the required keys only
		}{
			{"ASCII", []string{"tenant"}, false},
			{"mixed case", []string{"Zone", "alpha"}, true},
			{"beyond ASCII and U+FFFF", []string{"größe", "\U0001f511"}, false},
			{"many pairs", []string{"a-key-0", "Z-key-1", "X-key-5"}, true},
		} {
			u := []use{aes(256), rsaKey("sha256"), static("raw-ecdh", "ecc-384"), multi(aes(128), rsaKey("sha512"))}[(i+j)%4]
			reproduced := map[string]string{}
			for k, v := range contexts[c.context] {
				if c.whole || slices.Contains(c.keys, k) {
					reproduced[k] = v
				}
			}
			p.add(test{feature: reqContext, suite: s, use: required(u, c.keys), context: c.context, reproduced: reproduced})
		}
	}
}

func (p *plan) kmsKeys() {
	p.eachSuite(kmsStrict, "", both(kmsKey("kms")))
	p.eachSuite(kmsMRK, "the replica decrypts", use{mrk("kms-primary"), []*key{mrk("kms-replica"), mrk("kms-primary")}})
	p.eachSuite(kmsMRK, "the primary decrypts", use{mrk("kms-replica"), []*key{mrk("kms-primary")}})
	p.eachSuite(kmsDisc, "", use{kmsKey("kms"), []*key{discovery()}})
	p.eachSuite(kmsMRKDisc, "", use{mrk("kms-primary"), []*key{mrkDiscovery(foreign), mrkDiscovery(home)}})
	for _, hash := range []string{"SHA_1", "SHA_256"} {
		for _, s := range suite.All {
			if !s.Signs() { // the keyring accepts unsigned suites only
				p.add(test{feature: kmsRSARow, note: hash, suite: s, use: kmsRSA(hash)})
			}
		}
	}
	for _, curve := range curveNames {
		p.eachSuite(kmsECDH, curve, static("aws-kms-ecdh", curve))
	}
	p.eachSuite(multiKMS, "KMS and AES", multi(both(kmsKey("kms")), aes(256)))
	p.eachSuite(multiKMS, "RSA, multi-Region and KMS ECDH",
		multi(rsaKey("sha256"), use{mrk("kms-primary"), []*key{mrk("kms-replica")}}, static("aws-kms-ecdh", "ecc-256")))
}

func (p *plan) masterKeys() {
	for _, bits := range []int{128, 192, 256} {
		p.eachSuite(rawMaster, fmt.Sprintf("AES, %d bits", bits), aes(bits), masterKeys)
	}
	for _, name := range paddingNames {
		words := paddings[name]
		p.eachSuite(rawMaster, "RSA, "+words, rsaKey(name), masterKeys)
	}
	p.eachSuite(rawMaster, "AES and RSA", multi(aes(256), rsaKey("sha256")), masterKeys)
	p.eachSuite(rawMaster, "stream", aes(256), masterKeys, streams)
	p.eachSuite(rawMaster, "without frames", aes(256), masterKeys, func(t *test) { t.size, t.unframed, t.onlyTheirs = 437, true, true })
	p.eachSuite(kmsMaster, "", both(kmsKey("kms")), masterKeys)
	p.eachSuite(kmsMaster, "discovery", use{kmsKey("kms"), []*key{discovery()}}, masterKeys)
	p.eachSuite(kmsMaster, "multi-Region", use{mrk("kms-primary"), []*key{mrk("kms-replica")}}, masterKeys)
	p.eachSuite(kmsMaster, "multi-Region discovery", use{mrk("kms-primary"), []*key{mrkDiscovery(foreign)}}, masterKeys)
}

// unknownKeys tests messages with a key that only we know, which the SDKs
// decrypt with another key.
func (p *plan) unknownKeys() {
	unknown, kms := both(&key{Type: "hpke"}), both(kmsKey("kms"))
	for _, s := range suite.All {
		t := test{feature: multiHPKE, suite: s, frame: 128, size: 441, onlyOurs: true, api: p.api()}
		t.note, t.use = "before AES", use{multi(unknown, aes(256)).encrypt, aes(256).decrypts}
		p.add(t)
		t.note, t.use = "behind KMS", use{multi(kms, unknown).encrypt, kms.decrypts}
		p.add(t)
		t.note, t.use, t.api = "before KMS, discovery", use{multi(unknown, kms).encrypt, []*key{mrkDiscovery(home)}}, ""
		p.add(t)
	}
}

// tampered tests that both sides refuse tampered messages of the other.
func (p *plan) tampered() {
	for _, s := range suite.All {
		for _, name := range tamperingNames {
			p.add(test{feature: tampered, note: name, suite: s, use: aes(256), frame: 128, size: 441, tamper: name, api: p.api()})
		}
	}
}

// commands tests the command instead of the library.
func (p *plan) commands() {
	uses := map[string]use{
		"AES": aes(256), "AES-128": aes(128), "RSA PKCS #1": rsaKey("pkcs1"), "RSA OAEP SHA-512": rsaKey("sha512"),
		"ECDH": static("raw-ecdh", "ecc-521"), "ephemeral ECDH": ephemeral("ecc-256"), "AES and RSA": multi(aes(256), rsaKey("sha1")),
		"KMS": both(kmsKey("kms")), "multi-Region": {mrk("kms-primary"), []*key{mrk("kms-replica")}},
		"discovery": {kmsKey("kms"), []*key{discovery()}}, "multi-Region discovery": {mrk("kms-primary"), []*key{mrkDiscovery(foreign)}},
		"KMS RSA": kmsRSA("SHA_256"), "KMS ECDH": static("aws-kms-ecdh", "ecc-384"),
	}
	for _, id := range []uint16{0x0578, 0x0478, 0x0378} {
		s := suite.Lookup(id)
		for _, name := range slices.Sorted(maps.Keys(uses)) {
			u := uses[name]
			if name == "KMS RSA" && s.Signs() {
				continue
			}
			p.add(test{feature: withCommand, note: name, suite: s, use: u, command: true})
		}
	}
}
