//go:build full

package main

import (
	// The full build includes the drivers of other clouds' key services.
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/hashivault"
)
