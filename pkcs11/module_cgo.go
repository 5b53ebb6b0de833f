//go:build cgo

package pkcs11

import (
	"crypto"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	p11 "github.com/miekg/pkcs11"
)

// A library is a token's library, called through cgo.
type library struct {
	*p11.Ctx
	decrypter
}

// maxFound limits a search for keys. Two are enough to detect ambiguity; the
// rest is for the error.
const maxFound = 16

func load(path string) (cryptoki, error) {
	ctx := p11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("pkcs11: %s cannot be loaded as the library of a token", path)
	}
	d, ok := newDecrypter(path)
	if !ok {
		return nil, fmt.Errorf("pkcs11: %s has no %s", path, callDecrypt)
	}
	return library{ctx, d}, nil
}

// called adds the name of the failed call to an error.
func called(call string, err error) error {
	var code p11.Error
	if !errors.As(err, &code) {
		return err
	}
	text := code.Error()
	return &Error{Call: call, Code: uint(code), Name: strings.TrimSpace(text[strings.LastIndex(text, ":")+1:])}
}

func (l library) initialize() error { return called("C_Initialize", l.Initialize()) }

func (l library) finalize() error { return called("C_Finalize", l.Finalize()) }

func (l library) tokens() ([]tokenInfo, error) {
	slots, err := l.GetSlotList(true)
	if err != nil {
		return nil, called("C_GetSlotList", err)
	}
	var tokens []tokenInfo
	for _, slot := range slots {
		info, err := l.GetTokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 {
			continue // it was removed meanwhile, or is not initialized
		}
		text := func(s string) string { return strings.TrimRight(s, " \x00") }
		tokens = append(tokens, tokenInfo{slot, text(info.Label), text(info.SerialNumber), text(info.ManufacturerID), text(info.Model)})
	}
	return tokens, nil
}

func (l library) openSession(slot uint) (uint, error) {
	s, err := l.OpenSession(slot, p11.CKF_SERIAL_SESSION)
	return uint(s), called("C_OpenSession", err)
}

func (l library) closeSession(session uint) error {
	return called("C_CloseSession", l.CloseSession(p11.SessionHandle(session)))
}

func (l library) login(session uint, pin []byte) error {
	// The binding takes a string, and a copy in a string couldn't be cleared.
	text := unsafe.String(unsafe.SliceData(pin), len(pin))
	return called("C_Login", l.Login(p11.SessionHandle(session), p11.CKU_USER, text))
}

func (l library) state(session uint) (uint, error) {
	info, err := l.GetSessionInfo(p11.SessionHandle(session))
	return info.State, called("C_GetSessionInfo", err)
}

func (l library) find(session uint, class class, kind keyType, label string, id []byte) ([]object, error) {
	s := p11.SessionHandle(session)
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, uint(class)), p11.NewAttribute(p11.CKA_KEY_TYPE, uint(kind))}
	if label != "" {
		template = append(template, p11.NewAttribute(p11.CKA_LABEL, label))
	}
	if len(id) > 0 {
		template = append(template, p11.NewAttribute(p11.CKA_ID, id))
	}
	if err := l.FindObjectsInit(s, template); err != nil {
		return nil, called("C_FindObjectsInit", err)
	}
	found, _, err := l.FindObjects(s, maxFound)
	if final := l.FindObjectsFinal(s); err == nil && final != nil {
		return nil, called("C_FindObjectsFinal", final)
	}
	var objects []object
	for _, o := range found {
		objects = append(objects, object(o))
	}
	return objects, called("C_FindObjects", err)
}

func (l library) attributes(session uint, o object, types ...attribute) ([][]byte, error) {
	var template []*p11.Attribute
	for _, t := range types {
		template = append(template, p11.NewAttribute(uint(t), nil))
	}
	got, err := l.GetAttributeValue(p11.SessionHandle(session), p11.ObjectHandle(o), template)
	if err != nil {
		return nil, called("C_GetAttributeValue", err)
	}
	values := make([][]byte, len(got))
	for i := range got {
		values[i] = got[i].Value
	}
	return values, nil
}

const tagBits = 128

func (l library) encryptGCM(session uint, key object, iv, aad, plaintext []byte) (usedIV, ciphertext []byte, err error) {
	s, params := p11.SessionHandle(session), p11.NewGCMParams(iv, aad, tagBits)
	defer params.Free()
	if err := l.EncryptInit(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, p11.ObjectHandle(key)); err != nil {
		return nil, nil, called("C_EncryptInit", err)
	}
	ciphertext, err = l.Encrypt(s, plaintext)
	return params.IV(), ciphertext, called("C_Encrypt", err)
}

func (l library) decryptGCM(session uint, key object, iv, aad, ciphertext []byte) ([]byte, error) {
	s, params := p11.SessionHandle(session), p11.NewGCMParams(iv, aad, tagBits)
	defer params.Free()
	if err := l.DecryptInit(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, p11.ObjectHandle(key)); err != nil {
		return nil, called("C_DecryptInit", err)
	}
	return l.decrypt(session, ciphertext)
}

var oaep = map[crypto.Hash]*p11.OAEPParams{
	crypto.SHA1:   p11.NewOAEPParams(p11.CKM_SHA_1, p11.CKG_MGF1_SHA1, p11.CKZ_DATA_SPECIFIED, nil),
	crypto.SHA256: p11.NewOAEPParams(p11.CKM_SHA256, p11.CKG_MGF1_SHA256, p11.CKZ_DATA_SPECIFIED, nil),
	crypto.SHA384: p11.NewOAEPParams(p11.CKM_SHA384, p11.CKG_MGF1_SHA384, p11.CKZ_DATA_SPECIFIED, nil),
	crypto.SHA512: p11.NewOAEPParams(p11.CKM_SHA512, p11.CKG_MGF1_SHA512, p11.CKZ_DATA_SPECIFIED, nil),
}

func (l library) decryptRSA(session uint, key object, hash crypto.Hash, ciphertext []byte) ([]byte, error) {
	s, mechanism := p11.SessionHandle(session), p11.NewMechanism(p11.CKM_RSA_PKCS, nil)
	if hash != 0 {
		mechanism = p11.NewMechanism(p11.CKM_RSA_PKCS_OAEP, oaep[hash])
	}
	if err := l.DecryptInit(s, []*p11.Mechanism{mechanism}, p11.ObjectHandle(key)); err != nil {
		return nil, called("C_DecryptInit", err)
	}
	return l.decrypt(session, ciphertext)
}

func (l library) deriveECDH(session uint, key object, point []byte, length int) ([]byte, error) {
	s := p11.SessionHandle(session)
	// The secret must be readable, since PKCS #11 lacks the key derivation of
	// the format. It is an object of this session only, for one data key.
	derived, err := l.DeriveKey(s,
		[]*p11.Mechanism{p11.NewMechanism(p11.CKM_ECDH1_DERIVE, p11.NewECDH1DeriveParams(p11.CKD_NULL, nil, point))},
		p11.ObjectHandle(key),
		[]*p11.Attribute{
			p11.NewAttribute(p11.CKA_CLASS, uint(p11.CKO_SECRET_KEY)),
			p11.NewAttribute(p11.CKA_KEY_TYPE, uint(p11.CKK_GENERIC_SECRET)),
			p11.NewAttribute(p11.CKA_TOKEN, false),
			p11.NewAttribute(p11.CKA_SENSITIVE, false),
			p11.NewAttribute(p11.CKA_EXTRACTABLE, true),
			p11.NewAttribute(p11.CKA_VALUE_LEN, uint(length)),
		})
	if err != nil {
		return nil, called("C_DeriveKey", err)
	}
	value, err := l.GetAttributeValue(s, derived, []*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE, nil)})
	// A remaining object disappears with its session, which may take long.
	if destroy := l.DestroyObject(s, derived); err == nil && destroy != nil {
		clear(value[0].Value)
		return nil, called("C_DestroyObject", destroy)
	}
	if err != nil {
		return nil, called("C_GetAttributeValue", err)
	}
	return value[0].Value, nil
}
