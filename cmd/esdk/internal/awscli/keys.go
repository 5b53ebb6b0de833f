package awscli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// KMS is the provider for keys of AWS KMS, which is the default.
const KMS = "aws-kms"

// WrappingKeys are the values of one --wrapping-keys.
type WrappingKeys struct {
	Provider string // KMS, under either of its names, or another provider
	Keys     []string

	// For AWS KMS only.
	Region, Profile string     // "" for the default
	Discovery       *Discovery // used instead of Keys; nil if not given

	// Attributes are all other values.
	Attributes map[string][]string
}

// Discovery limits whose keys may be used. Empty fields allow all keys.
type Discovery struct {
	Partition string
	Accounts  []string
}

// Caching holds the values of --caching.
type Caching struct {
	Capacity    int
	MaxAge      time.Duration
	MaxMessages *int64
	MaxBytes    *int64
}

func (p *parser) addWrappingKeys(values []string) error {
	pairs, err := parsePairs(values)
	p.keys = append(p.keys, pairs)
	return err
}

func newWrappingKeys(pairs []pair, action string) (WrappingKeys, error) {
	values := make(map[string][]string)
	for _, p := range pairs {
		values[p.key] = append(values[p.key], p.value)
	}
	providers := values["provider"]
	if len(providers) > 1 {
		return WrappingKeys{}, errors.New("more than one provider")
	}
	w := WrappingKeys{Provider: KMS, Keys: values["key"]}
	if len(providers) == 1 && providers[0] != "aws-encryption-sdk-cli::aws-kms" {
		w.Provider = providers[0]
	}
	delete(values, "provider")
	delete(values, "key")
	if w.Provider == KMS {
		err := w.setKMS(values, action)
		return w, err
	}
	for name := range values {
		if strings.HasPrefix(name, "discovery") {
			return w, fmt.Errorf("%s is for keys of AWS KMS only", name)
		}
	}
	if len(w.Keys) == 0 {
		return w, errors.New("no key=")
	}
	w.Attributes = values
	return w, nil
}

// setKMS sets the attributes of keys of AWS KMS.
func (w *WrappingKeys) setKMS(values map[string][]string, action string) (err error) {
	if w.Region, err = single(values, "region"); err != nil {
		return err
	}
	if w.Profile, err = single(values, "profile"); err != nil {
		return err
	}
	if err := w.setDiscovery(values); err != nil {
		return err
	}
	named := len(values["discovery"])+len(values["discovery-account"])+len(values["discovery-partition"]) > 0
	for _, name := range []string{"region", "profile", "discovery", "discovery-account", "discovery-partition"} {
		delete(values, name)
	}
	w.Attributes = values
	switch {
	case action == Encrypt && named:
		return errors.New("discovery is for decryption only")
	case w.Discovery != nil && len(w.Keys) > 0:
		return errors.New("discovery=true and key= contradict each other")
	case w.Discovery == nil && len(w.Keys) == 0 && action == Encrypt:
		return errors.New("no key=")
	case w.Discovery == nil && len(w.Keys) == 0:
		return errors.New("neither key= nor discovery=true")
	}
	return nil
}

func (w *WrappingKeys) setDiscovery(values map[string][]string) error {
	accounts := values["discovery-account"]
	partition, err := single(values, "discovery-partition")
	if err != nil {
		return err
	}
	on := false
	if said := values["discovery"]; len(said) > 0 {
		if on, err = parseBool(said[0]); err != nil {
			return err
		}
	}
	switch {
	case !on && (partition != "" || len(accounts) > 0):
		return errors.New("discovery-account and discovery-partition need discovery=true")
	case (partition == "") != (len(accounts) == 0):
		return errors.New("discovery-account and discovery-partition need each other")
	case on:
		w.Discovery = &Discovery{partition, accounts}
	}
	return nil
}

// single returns the value of an attribute that may be given once at most.
func single(values map[string][]string, name string) (string, error) {
	switch given := values[name]; len(given) {
	case 0:
		return "", nil
	case 1:
		return given[0], nil
	}
	return "", fmt.Errorf("more than one %s", name)
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "t", "1", "yes", "y":
		return true, nil
	case "false", "f", "0", "no", "n":
		return false, nil
	}
	return false, fmt.Errorf("discovery=%s is neither true nor false", text)
}

func (p *parser) setCaching(values []string) error {
	pairs, err := parsePairs(values)
	if err != nil {
		return err
	}
	c := new(Caching)
	seen := make(map[string]bool)
	for _, pair := range pairs {
		if seen[pair.key] {
			continue // the first one counts, as in Python
		}
		seen[pair.key] = true
		if err := c.set(pair); err != nil {
			return err
		}
	}
	if !seen["capacity"] || !seen["max_age"] {
		return errors.New("capacity and max_age are needed")
	}
	p.result.Caching = c
	return nil
}

func (c *Caching) set(p pair) error {
	bad := fmt.Errorf("%s=%s is out of range", p.key, p.value)
	if p.key == "max_age" {
		seconds, err := strconv.ParseFloat(p.value, 64)
		if err != nil || !(seconds > 0) || seconds > math.MaxInt64/float64(2*time.Second) {
			return bad
		}
		c.MaxAge = time.Duration(seconds * float64(time.Second))
		return nil
	}
	n, err := strconv.ParseInt(p.value, 10, 64)
	if err != nil || n < 1 {
		err = bad
	}
	switch p.key {
	case "capacity":
		if n > math.MaxInt32 {
			return bad
		}
		c.Capacity = int(n)
	case "max_messages_encrypted":
		c.MaxMessages = &n
	case "max_bytes_encrypted":
		c.MaxBytes = &n
	default:
		return fmt.Errorf("there is no %s", p.key)
	}
	return err
}
