//go:build full

package main

import (
	// The drivers of other clouds' key services, which the full build has.
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/hashivault"
)
