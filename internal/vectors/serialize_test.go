package vectors

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/vectors/vectorstest"
)

// runSerializeFixtures parses and writes the parts of messages with which the
// JavaScript SDK tests its parser. Their names describe them.
func runSerializeFixtures(t *testing.T, dir string) (s Summary) {
	var set struct{ Fixtures map[string]hexBytes }
	vectorstest.ReadJSON(t, &set, dir+".json")
	for name, b := range set.Fixtures {
		check, ok := serializeChecks[name]
		count(t, &s, name, ok && check(set.Fixtures, b))
	}
	if s.Total() != len(serializeChecks) {
		t.Errorf("%d fixtures, want %d", s.Total(), len(serializeChecks))
	}
	return s
}

type fixtures = map[string]hexBytes

var serializeChecks = map[string]func(all fixtures, b hexBytes) bool{
	"basicMessageHeader":                     headerGives(nil),
	"basicV2MessageHeader":                   headerGives(nil),
	"zeroByteEncryptionContextMessageHeader": headerGives(nil),
	"ivLengthMismatchMessageHeader":          headerGives(vectorstest.IsFormatError),
	"reservedBytesNoZeroMessageHeader":       headerGives(vectorstest.IsFormatError),
	"suiteIdNotValidMessageHeader":           headerGives(vectorstest.IsFormatError),
	"typeNotValidMessageHeader":              headerGives(vectorstest.IsFormatError),
	"versionNotValidMessageHeader":           headerGives(vectorstest.IsFormatError),
	"base64MessageHeader":                    headerGives(isBase64Hint),

	// These end after the count of data keys, which alone exceeds the limit.
	"threeEdksMessagePartialHeaderV1": dataKeysOverLimit,
	"threeEdksMessagePartialHeaderV2": dataKeysOverLimit,

	"basicEncryptionContext":                                    contextGives(nil),
	"hasOwnPropertyEncryptionContext":                           contextGives(nil),
	"encryptionContextWithHighUtf8CodePoint":                    contextGives(nil),
	"encryptionContextWithHighUtf8CodePointWithReservedKeyword": contextGives(nil),
	"duplicateKeysEncryptionContext":                            contextGives(vectorstest.IsFormatError),
	"missingDataEncryptionContext":                              contextGives(vectorstest.IsFormatError),
	"tooMuchDataEncryptionContext":                              contextGives(vectorstest.IsFormatError),
	"encryptedDataKey":                                          dataKeysRoundTrip,

	"basicFrameIV":              isIV(1),
	"basicNonFrameIV":           isIV(1),
	"headerAuthIV":              isIV(0),
	"basicFrameHeader":          isWritten(format.AppendRegular(nil, 1)),
	"finalFrameHeader":          isWritten(format.AppendFinal(nil, 1, 999)),
	"finalFrameHeaderZeroBytes": isWritten(format.AppendFinal(nil, 1, 0)),

	// The well-formed ones lack only an authentic ciphertext.
	"basicNonFrameHeader":                            bodyGives(0, vectorstest.Is(stream.ErrAuthentication)),
	"invalidNonFrameHeaderContentLengthExcedsLimits": bodyGives(0, isTooLong),
	"invalidSequenceEndFinalFrameHeader":             bodyGives(4096, isBodyError),
	"invalidSequenceNumberFinalFrameHeader":          bodyGives(4096, isBodyError),
	"invalidSequenceNumberFrameHeader":               bodyGives(4096, isBodyError),

	"ecdsaP256SignatureInfo": func(all fixtures, b hexBytes) bool {
		return bytes.Equal(format.AppendFooter(nil, all["ecdsaP256Signature"]), b)
	},
	"ecdsaP256Signature": func(all fixtures, b hexBytes) bool {
		return bytes.HasSuffix(all["ecdsaP256SignatureInfo"], b)
	},
}

// headerAuthentication replaces IV and tag, which the fixtures lack. It's long
// enough for both versions.
var headerAuthentication = make([]byte, format.IVLength+format.TagLength)

func parseHeader(body []byte) (*esdk.Header, error) {
	return esdk.ParseHeader(bytes.NewReader(slices.Concat(body, headerAuthentication)))
}

// headerGives parses a header body. It must succeed if fails is nil.
func headerGives(fails func(error) bool) func(fixtures, hexBytes) bool {
	return func(_ fixtures, b hexBytes) bool {
		_, err := parseHeader(b)
		return err == nil && fails == nil || err != nil && fails != nil && fails(err)
	}
}

func isBase64Hint(err error) bool {
	return vectorstest.IsFormatError(err) && strings.Contains(err.Error(), "Base64")
}

func dataKeysOverLimit(_ fixtures, b hexBytes) bool {
	client, err := esdk.New(esdk.Config{
		Keyring: staticKeyring{}, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt, MaxEncryptedDataKeys: 2,
	})
	if err != nil {
		return false
	}
	_, err = client.NewReader(context.Background(), bytes.NewReader(b), nil)
	return errors.Is(err, esdk.ErrLimit)
}

// contextGives parses a context, with its length, in place of the one in a
// valid header.
func contextGives(fails func(error) bool) func(fixtures, hexBytes) bool {
	return func(all fixtures, b hexBytes) bool {
		header := bytes.Replace(all["basicMessageHeader"], all["basicEncryptionContext"], b, 1)
		return headerGives(fails)(all, header)
	}
}

// dataKeysRoundTrip finds the data keys in a header, and again in a header
// written with them.
func dataKeysRoundTrip(all fixtures, b hexBytes) bool {
	h, err := format.ReadHeader(bytes.NewReader(slices.Concat(all["basicMessageHeader"], headerAuthentication)), format.Limits{})
	if err != nil || len(h.DataKeys) != 2 || h.DataKeys[0].ProviderID != "½ + ¼ = ¾" {
		return false
	}
	original := h.Raw
	return h.Build() == nil && bytes.Contains(h.Raw, b) && len(h.Raw) == len(original)
}

func isIV(sequence byte) func(fixtures, hexBytes) bool {
	return isWritten([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sequence})
}

func isWritten(want []byte) func(fixtures, hexBytes) bool {
	return func(_ fixtures, b hexBytes) bool { return bytes.Equal(b, want) }
}

func isBodyError(err error) bool {
	var formatError *format.Error
	return errors.As(err, &formatError)
}

// isTooLong accepts the errors for a body of 2^36-32 bytes, which is just
// within the format's limit: it's truncated, or rejected at once if no slice
// can be that long.
func isTooLong(err error) bool { return isBodyError(err) || errors.Is(err, format.ErrLimit) }

// bodyGives opens a body that starts with the fixture and continues with zeros.
func bodyGives(frameLength uint32, fails func(error) bool) func(fixtures, hexBytes) bool {
	return func(_ fixtures, b hexBytes) bool {
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			return false
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return false
		}
		_, err = stream.Open(nil, append(b, make([]byte, format.TagLength)...), stream.Source{
			Params: stream.Params{AEAD: aead, MessageID: make([]byte, 16), FrameLength: frameLength},
		})
		return fails(err)
	}
}
