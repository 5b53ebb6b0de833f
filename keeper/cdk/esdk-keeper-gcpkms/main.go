// Command esdk-keeper-gcpkms lets the command esdk use keys of Google Cloud KMS,
// such as -k gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K.
package main

import (
	_ "gocloud.dev/secrets/gcpkms"

	"esdk/keeper/cdk"
)

func main() { cdk.Main() }
