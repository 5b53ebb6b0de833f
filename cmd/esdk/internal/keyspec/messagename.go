package keyspec

import (
	"os"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/hpke"
	"esdk/internal/kmsarn"
)

// MessageName returns the name that messages have for a wrapping key given in
// the form of -k, as far as it's known without opening the key. It returns text
// without the form of a key unchanged.
func (ks *Keys) MessageName(text string) (string, error) {
	k, isKey := keyOf(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		if name == "" {
			return "", errNoName
		}
		c, file, err := ks.LoadConfig()
		if err != nil {
			return "", err
		}
		if k, err = c.Key(file, name); err != nil {
			return "", err
		}
		isKey = true
	}
	hint := "use the name that \"esdk inspect\" shows; * matches any characters"
	switch {
	case isKey && k.messageName() != "":
		return k.messageName(), nil
	case !isKey && !isKeyFile(text):
		if err := checkKMSName(text); err != nil {
			return "", err
		}
		return text, nil
	case !isKey:
		hint += "; a name that looks like a file is taken as a name if it contains *"
	case strings.HasPrefix(text, "@") && slices.Contains([]string{"aes", "rsa"}, k.Type):
		hint += "; or give the key a namespace and a name in the configuration"
	}
	return "", cli.UsageError("%s: the name of this key in messages is not known without opening the key", cli.Printable(text)).WithHint("%s", hint)
}

// checkKMSName rejects a text that is meant for a KMS key but that no message
// has, such as a bare key ID. Searching for it would wrongly find none.
func checkKMSName(text string) error {
	plain := strings.ToLower(strings.TrimSpace(text))
	if kmsKeyID.MatchString(plain) {
		return cli.UsageError("%s: messages name a KMS key by its ARN", cli.Printable(text)).WithHint("%s", unknownHint(plain))
	}
	if !strings.HasPrefix(plain, "arn:") {
		return nil
	}
	if err := checkSpace(text); err != nil {
		return cli.Hinted(cli.UsageError("%s: %w", cli.Printable(text), err), "%s", cli.Hint(err))
	}
	if _, err := kmsarn.ParseKey(text); err != nil && (text[:4] != "arn:" || !strings.Contains(text, "*")) {
		return cli.UsageError("%w", err).WithHint("use an ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; * matches any characters")
	}
	return nil
}

// isKeyFile reports whether a text looks like a key file rather than a name. No
// message would have such a name, so searching for it would wrongly find none.
func isKeyFile(text string) bool {
	info, err := os.Stat(text)
	return err == nil && info.Mode().IsRegular() || strings.HasSuffix(text, ".key") || strings.HasSuffix(text, ".pem")
}

// keyOf converts a key on the command line to its equivalent in the
// configuration. It returns false for text that isn't a key, and for a key's
// ARN, which is the key's name.
func keyOf(text string) (*KeyConfig, bool) {
	if text == "local" || strings.HasPrefix(text, "local@") {
		return &KeyConfig{Type: "local"}, true
	}
	if strings.HasPrefix(text, "alias/") || strings.HasPrefix(text, "arn:") && strings.Contains(text, ":alias/") {
		return &KeyConfig{Type: "kms", Key: text}, true
	}
	kind, rest, _ := strings.Cut(text, ":")
	id, _, _ := strings.Cut(rest, "@")
	id, _, _ = strings.Cut(id, "?")
	k := &KeyConfig{Type: kind}
	switch kind {
	case "aes", "rsa":
		k.Namespace, k.Name, _ = strings.Cut(id, "/")
	case "hpke":
		k.Name = id
	case "kms-rsa":
		k.Key = id
	case "branch":
		_, k.ID, _ = strings.Cut(id, "/")
	case "ecdh", "kms-ecdh", "kms-discovery", "pkcs11":
	default:
		return nil, false
	}
	return k, true
}

// messageName returns the name in messages, "" if the configuration doesn't
// tell.
func (k *KeyConfig) messageName() string {
	switch {
	case (k.Type == "aes" || k.Type == "rsa") && k.Namespace != "" && k.Name != "":
		return k.Namespace + "/" + k.Name
	case k.Type == "hpke" && k.Name != "":
		return hpke.ProviderID + "/" + k.Name
	case k.Type == "kms" && !strings.Contains(k.Key, ":key/"): // messages have the ARN
		return ""
	case k.Type == "kms", k.Type == "kms-rsa", k.Type == "keyservice":
		return k.Key
	case k.Type == "branch":
		return k.ID
	}
	return ""
}
