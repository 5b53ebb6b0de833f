package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"maps"
	"math/big"
	"slices"
	"sync"
	"testing"
)

// A simulator is a token in Go with fault injection. It implements the parts
// that the tests of faults need, without cgo; the other tests use real tokens.
type simulator struct {
	mu       sync.Mutex
	next     uint
	sessions map[uint]bool // open ones; true while in use
	most     int           // sessions that were open at once
	user     bool          // whether a user is logged in
	logins   int
	calls    map[string]int // of each function
	active   map[uint]bool  // sessions in which a decryption has begun
	pin      string
	slot     uint // 0 if the token is absent
	up       bool // initialized

	looksOnce  bool // detects tokens only on initialization
	seen       uint // the slot detected then
	needsToken bool // initialization fails without a token

	keys map[object]*simulatedKey

	makesIV   []byte                  // if set, the first bytes of the IVs that the token makes
	fault     func(call string) error // called for each call, if set
	plaintext func([]byte) []byte     // changes the result of RSA, if set
	secret    func([]byte) []byte     // changes the result of ECDH, if set
	handed    [][]byte                // arrays of returned secrets

	ids        bool                                 // whether keys show their ids, "id-" and the label
	show       func(...attribute) ([][]byte, error) // replaces a key's attributes, if set
	ciphertext func([]byte) []byte                  // changes the result of AES, if set
}

type simulatedKey struct {
	class class
	kind  keyType
	label string
	value any
	id    string
}

func newSimulator() *simulator {
	return &simulator{sessions: make(map[uint]bool), calls: make(map[string]int), active: make(map[uint]bool), pin: "1234", slot: 7, keys: make(map[object]*simulatedKey)}
}

func ckr(call string, code uint) error { return &Error{Call: call, Code: code} }

// put adds a key or a key pair.
func (s *simulator) put(label string, value any) {
	add := func(class class, kind keyType, value any) {
		s.next++
		s.keys[object(s.next)] = &simulatedKey{class, kind, label, value, "id-" + label}
	}
	switch key := value.(type) {
	case []byte:
		add(secretKey, typeAES, key)
	case *rsa.PrivateKey:
		add(privateKey, typeRSA, key)
	case *rsa.PublicKey:
		add(publicKey, typeRSA, key)
	case *ecdh.PrivateKey:
		add(privateKey, typeEC, key)
		add(publicKey, typeEC, key.PublicKey())
	}
}

// open returns a Token for the simulator.
func (s *simulator) open(t testing.TB, c Config) (*Token, error) {
	t.Helper()
	if c.PIN == nil {
		c.PIN = func(context.Context) ([]byte, error) { return []byte("1234"), nil }
	}
	if c.Sessions == 0 {
		c.Sessions = defaultSessions
	}
	s.up = true
	token, err := open(t.Context(), c, &URI{Token: c.Token}, &module{cryptoki: s, path: "simulated", users: 1, ours: true})
	if err == nil {
		t.Cleanup(func() { token.Close() })
	}
	return token, err
}

// enter begins a call. The session is 0 for calls without one.
func (s *simulator) enter(call string, session uint) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[call]++
	if s.fault != nil {
		if err := s.fault(call); err != nil {
			return nil, err
		}
	}
	if !s.up {
		return nil, ckr(call, ckrNotInitialized)
	}
	if session == 0 {
		return func() {}, nil
	}
	busy, ok := s.sessions[session]
	switch {
	case !ok:
		return nil, ckr(call, ckrSessionHandleInvalid)
	case s.slot == 0:
		return nil, ckr(call, ckrDeviceRemoved)
	case busy:
		panic("two calls use one session at once")
	}
	s.sessions[session] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sessions[session] {
			s.sessions[session] = false
		}
	}, nil
}

// decrypting begins a decryption, calls f for C_Decrypt, and ends the
// decryption unless C_Decrypt reports that the buffer is too small.
func (s *simulator) decrypting(session uint, o object, f func(key any) ([]byte, error)) ([]byte, error) {
	key, leave, err := s.key("C_DecryptInit", session, o)
	if err != nil {
		return nil, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[session] {
		return nil, ckr("C_DecryptInit", ckrOperationActive)
	}
	s.active[session] = true
	s.calls[callDecrypt]++
	if s.fault != nil {
		err = s.fault(callDecrypt)
	}
	if !hasCode(err, ckrBufferTooSmall) {
		delete(s.active, session)
	}
	if err != nil {
		return nil, err
	}
	return f(key)
}

// hand returns a secret in an array that contains more of it.
func (s *simulator) hand(secret []byte) []byte {
	array := append(bytes.Clone(secret), "the rest of a secret"...)
	s.handed = append(s.handed, array)
	return array[:len(secret)]
}

const ckrBufferTooSmall = 0x150

// lose closes all sessions, which ends the login.
func (s *simulator) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
	s.user = false
}

func (s *simulator) initialize() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["C_Initialize"]++
	if s.fault != nil {
		if err := s.fault("C_Initialize"); err != nil {
			return err
		}
	}
	if s.needsToken && s.slot == 0 {
		return ckr("C_Initialize", 0x5)
	}
	s.up, s.seen = true, s.slot
	return nil
}

func (s *simulator) finalize() error {
	s.lose()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["C_Finalize"]++
	s.up = false
	return nil
}

func (s *simulator) tokens() ([]tokenInfo, error) {
	if _, err := s.enter("C_GetSlotList", 0); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slot == 0 || s.looksOnce && s.slot != s.seen {
		return nil, nil
	}
	return []tokenInfo{{slot: s.slot, label: "simulated"}, {slot: s.slot + 1, label: "another"}}, nil
}

func (s *simulator) openSession(slot uint) (uint, error) {
	if _, err := s.enter("C_OpenSession", 0); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot != s.slot {
		return 0, ckr("C_OpenSession", ckrTokenNotPresent)
	}
	s.next++
	s.sessions[s.next] = false
	s.most = max(s.most, len(s.sessions))
	return s.next, nil
}

func (s *simulator) closeSession(session uint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["C_CloseSession"]++
	delete(s.sessions, session)
	s.user = s.user && len(s.sessions) > 0
	return nil
}

func (s *simulator) login(session uint, pin []byte) error {
	leave, err := s.enter("C_Login", session)
	if err != nil {
		return err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.logins++; {
	case s.user:
		return ckr("C_Login", ckrUserAlreadyLoggedIn)
	case string(pin) != s.pin:
		return ckr("C_Login", ckrPINIncorrect)
	}
	s.user = true
	return nil
}

// state is CKS_RO_PUBLIC_SESSION or CKS_RO_USER_FUNCTIONS.
func (s *simulator) state(session uint) (uint, error) {
	leave, err := s.enter("C_GetSessionInfo", session)
	if err != nil {
		return 0, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user {
		return 1, nil
	}
	return 0, nil
}

func (s *simulator) find(session uint, class class, kind keyType, label string, id []byte) (found []object, err error) {
	leave, err := s.enter("C_FindObjects", session)
	if err != nil {
		return nil, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range slices.Sorted(maps.Keys(s.keys)) {
		k := s.keys[o]
		matches := (label == "" || k.label == label) && (len(id) == 0 || k.id == string(id))
		if k.class == class && k.kind == kind && matches && (s.user || class == publicKey) {
			found = append(found, o)
		}
	}
	return found, nil
}

func (s *simulator) attributes(session uint, o object, types ...attribute) ([][]byte, error) {
	leave, err := s.enter("C_GetAttributeValue", session)
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.show != nil {
		return s.show(types...)
	}
	if types[0] == attributeID && s.ids {
		return [][]byte{[]byte(s.keys[o].id)}, nil
	}
	switch key := s.keys[o].value.(type) {
	case *rsa.PublicKey:
		return [][]byte{key.N.Bytes(), big.NewInt(int64(key.E)).Bytes()}, nil
	case *rsa.PrivateKey:
		if types[0] == attributeModulus {
			return [][]byte{key.N.Bytes(), big.NewInt(int64(key.E)).Bytes()}, nil
		}
	case *ecdh.PublicKey:
		for der, curve := range ecCurves {
			if curve == key.Curve() {
				point, err := asn1.Marshal(key.Bytes())
				return [][]byte{[]byte(der), point}, err
			}
		}
	}
	return make([][]byte, len(types)), nil
}

// key begins an operation with a key.
func (s *simulator) key(call string, session uint, o object) (any, func(), error) {
	leave, err := s.enter(call, session)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch k := s.keys[o]; {
	case k == nil:
		return nil, leave, ckr(call, ckrKeyHandleInvalid)
	case !s.user:
		return nil, leave, ckr(call, ckrUserNotLoggedIn)
	default:
		return k.value, leave, nil
	}
}

func (s *simulator) gcm(call string, session uint, o object) (cipher.AEAD, func(), error) {
	key, leave, err := s.key(call, session, o)
	if err != nil {
		return nil, func() {}, err
	}
	aead, err := newGCM(key.([]byte))
	return aead, leave, err
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *simulator) encryptGCM(session uint, o object, iv, aad, plaintext []byte) ([]byte, []byte, error) {
	aead, leave, err := s.gcm("C_Encrypt", session, o)
	defer leave()
	if err != nil {
		return nil, nil, err
	}
	if s.makesIV != nil {
		iv = append(bytes.Clone(s.makesIV), make([]byte, max(0, 12-len(s.makesIV)))...)
		rand.Read(iv[len(s.makesIV):])
	}
	if len(iv) != 12 {
		return iv, make([]byte, len(plaintext)+16), nil
	}
	ciphertext := aead.Seal(nil, iv, plaintext, aad)
	if s.ciphertext != nil {
		ciphertext = s.ciphertext(ciphertext)
	}
	return iv, ciphertext, nil
}

func (s *simulator) decryptGCM(session uint, o object, iv, aad, ciphertext []byte) ([]byte, error) {
	return s.decrypting(session, o, func(key any) ([]byte, error) {
		aead, err := newGCM(key.([]byte))
		if err != nil {
			return nil, err
		}
		plaintext, err := aead.Open(nil, iv, ciphertext, aad)
		if err != nil {
			return nil, ckr(callDecrypt, 0x5)
		}
		return s.hand(plaintext), nil
	})
}

func (s *simulator) decryptRSA(session uint, o object, hash crypto.Hash, ciphertext []byte) ([]byte, error) {
	return s.decrypting(session, o, func(key any) (plaintext []byte, err error) {
		if hash != 0 {
			plaintext, err = rsa.DecryptOAEP(hash.New(), nil, key.(*rsa.PrivateKey), ciphertext, nil)
		} else {
			//lint:ignore SA1019 the format has this padding
			plaintext, err = rsa.DecryptPKCS1v15(nil, key.(*rsa.PrivateKey), ciphertext)
		}
		if err != nil {
			return nil, ckr(callDecrypt, 0x40)
		}
		if s.plaintext != nil {
			plaintext = s.plaintext(plaintext)
		}
		return s.hand(plaintext), nil
	})
}

func (s *simulator) deriveECDH(session uint, o object, point []byte, length int) ([]byte, error) {
	key, leave, err := s.key("C_DeriveKey", session, o)
	if err != nil {
		return nil, err
	}
	defer leave()
	private := key.(*ecdh.PrivateKey)
	public, err := private.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, err
	}
	if len(secret) != length {
		return nil, errors.New("the length is another")
	}
	if s.secret != nil {
		secret = s.secret(secret)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hand(secret), nil
}
