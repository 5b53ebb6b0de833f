package kmssim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A place is a name in a region: a key's ID or an alias.
type place struct{ region, name string }

// A store holds the keys, aliases and grants of all regions.
type store struct {
	mu      sync.Mutex
	keys    map[place]*key
	aliases map[place]string // the key's ID
	grants  map[string]Grant // by token
	order   []place          // of the keys, in order of creation
}

func (s *store) init() {
	s.keys = map[place]*key{}
	s.aliases = map[place]string{}
	s.grants = map[string]Grant{}
}

func (s *store) add(k *key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(k)
}

func (s *store) addLocked(k *key) {
	p := place{k.region, k.id}
	s.keys[p] = k
	s.order = append(s.order, p)
}

// byID returns a copy of the key with this ID in the region.
func (s *store) byID(region, id string) (*key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[place{region, id}]
	if !ok {
		return nil, false
	}
	return k.copy(), true
}

// copy returns a copy that later changes of the key don't affect.
func (k *key) copy() *key {
	c := *k
	if k.family != nil {
		c.family = &family{k.family.primary, slices.Clone(k.family.replicas)}
	}
	return &c
}

// find returns a copy of the key that an ID, ARN, alias or alias's ARN names.
func (s *store) find(region, name string) (*key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.findLocked(region, name)
	if err != nil {
		return nil, err
	}
	return k.copy(), nil
}

// findKey is find for operations that don't accept aliases.
func (s *store) findKey(region, name string) (*key, error) {
	if strings.HasPrefix(name, "alias/") || strings.Contains(name, ":alias/") {
		return nil, notFound("Invalid keyId '%s'", name)
	}
	return s.find(region, name)
}

// keyID matches bare key IDs: a UUID, or mrk- and the same number of digits.
var keyID = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)

func (s *store) findLocked(region, name string) (*key, error) {
	resource, err := parseName(region, name)
	if err != nil {
		return nil, err
	}
	kind, id, _ := strings.Cut(resource, "/")
	switch kind {
	case "key":
		if k, ok := s.keys[place{region, id}]; ok {
			return k, nil
		}
		return nil, notFound("Key '%s' does not exist", arnOf(region, resource))
	case "alias":
		if id, ok := s.aliases[place{region, resource}]; ok {
			return s.keys[place{region, id}], nil
		}
		return nil, notFound("Alias %s is not found.", arnOf(region, resource))
	}
	return nil, notFound("Invalid keyId '%s'", name)
}

// parseName returns the last part of an ARN, or of the ARN that a name stands
// for.
func parseName(region, name string) (string, error) {
	switch {
	case name == "":
		return "", constraint("keyId", "null", "not be null")
	case len(name) > 2048:
		return "", constraint("keyId", "of length "+fmt.Sprint(len(name)), "have length less than or equal to 2048")
	case strings.HasPrefix(name, "arn:"):
		return resourceOf(region, name)
	case strings.HasPrefix(name, "alias/"):
		return name, nil
	case keyID.MatchString(name):
		return "key/" + name, nil
	}
	return "", notFound("Invalid keyId '%s'", name)
}

// resourceOf returns the resource that an ARN names, which must be in the
// region.
func resourceOf(region, arn string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) != 6 || parts[2] != "kms" || !strings.Contains(parts[5], "/"):
		return "", apiError{"InvalidArnException", "Invalid arn " + arn}
	case parts[1] != partition || parts[3] != region:
		// A service knows only its own region, and reports others like this.
		return "", notFound("Invalid arn %s", parts[3])
	case parts[4] != Account:
		return "", apiError{"AccessDeniedException", "The key " + arn +
			" does not exist in this region, or you are not allowed to access it."}
	}
	return parts[5], nil
}

// usable returns a copy of the named key if its state allows using it.
func (s *store) usable(region, name string) (*key, error) {
	k, err := s.find(region, name)
	if err != nil {
		return nil, err
	}
	return k, k.checkState()
}

// checkState returns the error of a key that is disabled or scheduled for
// deletion.
func (k *key) checkState() error {
	switch k.state {
	case types.KeyStateEnabled:
		return nil
	case types.KeyStateDisabled:
		return apiError{"DisabledException", k.arn() + " is disabled."}
	case types.KeyStatePendingDeletion:
		return apiError{"KMSInvalidStateException", k.arn() + " is pending deletion."}
	}
	return apiError{"KMSInvalidStateException", fmt.Sprintf("%s is %s.", k.arn(), k.state)}
}
