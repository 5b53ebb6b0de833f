package pkcs11

import (
	"crypto"
	"sync"
)

// A cryptoki is the part of a token's library that this package uses. The
// errors of its calls are of type *Error.
type cryptoki interface {
	initialize() error
	finalize() error

	tokens() ([]tokenInfo, error) // the tokens that are present
	openSession(slot uint) (session uint, err error)
	closeSession(session uint) error
	login(session uint, pin []byte) error
	state(session uint) (uint, error) // of type CK_STATE

	find(session uint, class class, kind keyType, label string, id []byte) ([]object, error)
	attributes(session uint, o object, types ...attribute) ([][]byte, error)

	// encryptGCM also returns the IV that the token used, which may differ from
	// iv.
	encryptGCM(session uint, key object, iv, aad, plaintext []byte) (usedIV, ciphertext []byte, err error)

	// decryptGCM calls C_DecryptInit and then C_Decrypt, each once. The caller
	// clears the plaintext up to its capacity.
	decryptGCM(session uint, key object, iv, aad, ciphertext []byte) (plaintext []byte, err error)

	// decryptRSA does the same: with the padding of PKCS #1 v1.5 if hash is 0,
	// and otherwise with OAEP.
	decryptRSA(session uint, key object, hash crypto.Hash, ciphertext []byte) (plaintext []byte, err error)

	// deriveECDH returns the shared secret, of length bytes, of the key and the
	// owner of an uncompressed point.
	deriveECDH(session uint, key object, point []byte, length int) ([]byte, error)
}

type (
	object    uint
	class     uint
	keyType   uint
	attribute uint
)

// These constants of PKCS #11 are repeated here for builds without cgo.
const (
	publicKey  class = 2 // CKO_PUBLIC_KEY
	privateKey class = 3 // CKO_PRIVATE_KEY
	secretKey  class = 4 // CKO_SECRET_KEY

	typeRSA keyType = 0x00 // CKK_RSA
	typeEC  keyType = 0x03 // CKK_EC
	typeAES keyType = 0x1f // CKK_AES

	attributeID             attribute = 0x102 // CKA_ID
	attributeModulus        attribute = 0x120 // CKA_MODULUS
	attributePublicExponent attribute = 0x122 // CKA_PUBLIC_EXPONENT
	attributeECParams       attribute = 0x180 // CKA_EC_PARAMS
	attributeECPoint        attribute = 0x181 // CKA_EC_POINT

	callDecrypt = "C_Decrypt"

	ckrSlotIDInvalid        = 0x003
	ckrDeviceError          = 0x030
	ckrDeviceRemoved        = 0x032
	ckrKeyHandleInvalid     = 0x060
	ckrObjectHandleInvalid  = 0x082
	ckrOperationActive      = 0x090
	ckrPINIncorrect         = 0x0a0
	ckrPINInvalid           = 0x0a1
	ckrPINLenRange          = 0x0a2
	ckrPINExpired           = 0x0a3
	ckrPINLocked            = 0x0a4
	ckrSessionClosed        = 0x0b0
	ckrSessionHandleInvalid = 0x0b3
	ckrTokenNotPresent      = 0x0e0
	ckrTokenNotRecognized   = 0x0e1
	ckrUserAlreadyLoggedIn  = 0x100
	ckrUserNotLoggedIn      = 0x101
	ckrNotInitialized       = 0x190 // CKR_CRYPTOKI_NOT_INITIALIZED
	ckrAlreadyInitialized   = 0x191 // CKR_CRYPTOKI_ALREADY_INITIALIZED
)

// A tokenInfo is a token in a slot.
type tokenInfo struct {
	slot                               uint
	label, serial, manufacturer, model string
}

// A module is the library of a token. A process has only one copy of it, which
// all Tokens share. It stays loaded, since not every library survives being
// unloaded, but is finalized when its last Token is closed.
type module struct {
	cryptoki
	path string

	users int  // guarded by modules.mu
	ours  bool // whether this package initialized it
}

var modules = struct {
	mu     sync.Mutex
	byPath map[string]*module
}{byPath: make(map[string]*module)}

func openModule(path string) (*module, error) {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	m := modules.byPath[path]
	if m == nil {
		c, err := load(path)
		if err != nil {
			return nil, err
		}
		m = &module{cryptoki: c, path: path}
		modules.byPath[path] = m
	}
	if m.users == 0 {
		// Another part of the program may use the library, too.
		err := m.initialize()
		if err != nil && !hasCode(err, ckrAlreadyInitialized) {
			return nil, err
		}
		m.ours = err == nil
	}
	m.users++
	return m, nil
}

func (m *module) close() error {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	if m.users--; m.users > 0 || !m.ours {
		return nil
	}
	return m.finalize()
}

// reinitialize initializes a library that somebody else has finalized.
func (m *module) reinitialize() error {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	err := m.initialize()
	if hasCode(err, ckrAlreadyInitialized) {
		return nil
	}
	m.ours = err == nil
	return err
}

// restart finalizes and initializes a library, for libraries that detect tokens
// only on initialization. No call may be in progress. It leaves a shared
// library alone, and reports false.
func (m *module) restart() bool {
	modules.mu.Lock()
	defer modules.mu.Unlock()
	return m.ours && m.users == 1 && m.finalize() == nil && m.initialize() == nil
}
