//go:build cgo

package pkcs11

/*
#cgo linux LDFLAGS: -ldl
#cgo freebsd LDFLAGS: -ldl

#include <stdlib.h>

typedef unsigned long (*esdk_decrypt)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

#ifdef _WIN32
#include <windows.h>
#pragma pack(push, 1)
#else
#include <dlfcn.h>
#endif

// CK_FUNCTION_LIST, up to C_Decrypt.
struct esdk_functions {
	unsigned char version[2];
	void (*before[34])(void);
	esdk_decrypt decrypt;
};

#ifdef _WIN32
#pragma pack(pop)
#endif

typedef unsigned long (*esdk_get_functions)(struct esdk_functions **);

// Loading a library again returns the same one.
static esdk_get_functions esdk_find_list(const char *path)
{
#ifdef _WIN32
	HMODULE library = LoadLibraryA(path);
	return library == NULL ? NULL : (esdk_get_functions) GetProcAddress(library, "C_GetFunctionList");
#else
	void *library = dlopen(path, RTLD_LAZY);
	return library == NULL ? NULL : (esdk_get_functions) dlsym(library, "C_GetFunctionList");
#endif
}

static esdk_decrypt esdk_find_decrypt(const char *path)
{
	esdk_get_functions get = esdk_find_list(path);
	struct esdk_functions *list = NULL;
	if (get == NULL || get(&list) != 0 || list == NULL) {
		return NULL;
	}
	return list->decrypt;
}

static unsigned long esdk_call_decrypt(esdk_decrypt f, unsigned long session,
	unsigned char *in, unsigned long in_length, unsigned char *out, unsigned long *out_length)
{
	return f(session, in, in_length, out, out_length);
}
*/
import "C"

import (
	"unsafe"

	p11 "github.com/miekg/pkcs11"
)

// A decrypter calls C_Decrypt once, with a buffer that is always long enough.
// The binding calls it twice, the first time for the length. A token that
// decrypts to find the length would be called twice for a right padding and
// once for a wrong one, and the times would differ. The binding also leaves the
// plaintext in C memory.
type decrypter struct{ f C.esdk_decrypt }

func newDecrypter(path string) (decrypter, bool) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	f := C.esdk_find_decrypt(p)
	return decrypter{f}, f != nil
}

// decrypt returns the plaintext in an array as long as the ciphertext. The
// ciphertext must not be empty, and the plaintext not longer.
func (d decrypter) decrypt(session uint, ciphertext []byte) ([]byte, error) {
	plaintext := make([]byte, len(ciphertext))
	length := C.ulong(len(plaintext))
	code := C.esdk_call_decrypt(d.f, C.ulong(session),
		(*C.uchar)(unsafe.SliceData(ciphertext)), C.ulong(len(ciphertext)),
		(*C.uchar)(unsafe.SliceData(plaintext)), &length)
	if code != 0 {
		clear(plaintext)
		return nil, called(callDecrypt, p11.Error(code))
	}
	return plaintext[:min(uint64(length), uint64(len(plaintext)))], nil
}
