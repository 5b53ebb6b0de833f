package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A URI identifies a token or a key as in RFC 7512.
type URI struct {
	Token, Serial, Manufacturer, Model string // of the token; empty means any
	SlotID                             *uint  // of the slot; nil means any

	Object string // label of the key
	ID     []byte // of the key
	Type   string // "secret-key", "private", "public" or empty

	ModulePath string // file of the token's library
	PINSource  string // file with the PIN; an absolute path

	// Query has the query's other attributes, which RFC 7512 leaves to
	// applications. This package ignores them.
	Query map[string]string
}

// ParseURI reads a URI such as
//
//	pkcs11:token=payments;object=backup?module-path=/usr/lib/libcloudhsm.so&pin-source=file:/run/pin
//
// It rejects a pin-value, since a PIN in a URI ends up in logs and process
// lists. It also rejects unknown attributes before the question mark, since
// ignoring one could select another key.
func ParseURI(text string) (*URI, error) {
	rest, ok := strings.CutPrefix(text, "pkcs11:")
	if !ok {
		return nil, errors.New(`pkcs11: a URI starts with "pkcs11:"`)
	}
	path, query, _ := strings.Cut(rest, "?")
	u := &URI{Query: make(map[string]string)}
	if err := eachAttribute(path, ";", u.setPath); err != nil {
		return nil, err
	}
	if err := eachAttribute(query, "&", u.setQuery); err != nil {
		return nil, err
	}
	return u, nil
}

// OfToken returns the URI without the attributes of a key, and without Query.
func (u *URI) OfToken() *URI {
	of := *u
	of.Object, of.ID, of.Type, of.Query = "", nil, "", nil
	return &of
}

// String returns the URI in a form that [ParseURI] reads. Equal URIs have equal
// strings.
func (u *URI) String() string {
	var path, query []string
	add := func(list *[]string, name, value string) {
		if value != "" {
			*list = append(*list, name+"="+escapeAttribute(value))
		}
	}
	add(&path, "token", u.Token)
	add(&path, "serial", u.Serial)
	add(&path, "manufacturer", u.Manufacturer)
	add(&path, "model", u.Model)
	if u.SlotID != nil {
		add(&path, "slot-id", strconv.FormatUint(uint64(*u.SlotID), 10))
	}
	add(&path, "object", u.Object)
	add(&path, "id", string(u.ID))
	add(&path, "type", u.Type)
	add(&query, "module-path", u.ModulePath)
	add(&query, "pin-source", u.PINSource)
	for _, name := range slices.Sorted(maps.Keys(u.Query)) {
		query = append(query, name+"="+escapeAttribute(u.Query[name]))
	}
	text := "pkcs11:" + strings.Join(path, ";")
	if len(query) > 0 {
		text += "?" + strings.Join(query, "&")
	}
	return text
}

// escapeAttribute also escapes the characters that PathEscape leaves alone but
// that have a meaning in these URIs.
func escapeAttribute(value string) string {
	return strings.NewReplacer("&", "%26", ";", "%3B", "=", "%3D").Replace(url.PathEscape(value))
}

// eachAttribute never shows values in errors: one may be a PIN.
func eachAttribute(text, separator string, set func(name, value string) error) error {
	var seen []string
	for attribute := range strings.SplitSeq(text, separator) {
		if attribute == "" {
			continue
		}
		name, escaped, ok := strings.Cut(attribute, "=")
		if !ok || name == "" {
			return errors.New("pkcs11: URI: an attribute has no name or no value")
		}
		value, err := url.PathUnescape(escaped)
		if err != nil {
			return fmt.Errorf("pkcs11: URI: %s is not percent-encoded", name)
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("pkcs11: URI: %s is given twice", name)
		}
		seen = append(seen, name)
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (u *URI) setPath(name, value string) error {
	switch name {
	case "token":
		u.Token = value
	case "serial":
		u.Serial = value
	case "manufacturer":
		u.Manufacturer = value
	case "model":
		u.Model = value
	case "object":
		u.Object = value
	case "id":
		if value != "" {
			u.ID = []byte(value)
		}
	case "type":
		if value != "secret-key" && value != "private" && value != "public" {
			return fmt.Errorf("pkcs11: URI: type %q is not one of secret-key, private and public", value)
		}
		u.Type = value
	case "slot-id":
		id, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("pkcs11: URI: slot-id %q is not a number", value)
		}
		slot := uint(id)
		u.SlotID = &slot
	default:
		return fmt.Errorf("pkcs11: URI: attribute %q is not supported", name)
	}
	return nil
}

func (u *URI) setQuery(name, value string) error {
	switch name {
	case "pin-value":
		return errors.New("pkcs11: URI: no PIN is taken from a URI (pin-value), where others can see it: put it into a file, and name that as pin-source")
	case "module-name":
		return errors.New("pkcs11: URI: module-name is not supported: give the file as module-path")
	case "module-path":
		u.ModulePath = value
	case "pin-source":
		file, ok := strings.CutPrefix(value, "file:")
		if ok {
			file = strings.TrimPrefix(file, "//")
		}
		if !filepath.IsAbs(file) {
			return errors.New("pkcs11: URI: pin-source is not a file with its full path, such as file:/run/secrets/pin")
		}
		u.PINSource = file
	default:
		u.Query[name] = value
	}
	return nil
}

// matches reports whether a token has all token attributes of the URI.
func (u *URI) matches(t *tokenInfo) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(u.Token, t.label) && is(u.Serial, t.serial) && is(u.Manufacturer, t.manufacturer) && is(u.Model, t.model) &&
		(u.SlotID == nil || *u.SlotID == t.slot)
}

// pin returns the function for Config, or nil if the URI has no pin-source.
func (u *URI) pin() func(context.Context) ([]byte, error) {
	if u.PINSource == "" {
		return nil
	}
	return PINFile(u.PINSource)
}
