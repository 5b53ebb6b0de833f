// Command esdk-keeper-hashivault lets the command esdk use keys of HashiCorp
// Vault's transit engine, such as -k hashivault://orders.
package main

import (
	_ "gocloud.dev/secrets/hashivault"

	"esdk/keeper/cdk"
)

func main() { cdk.Main() }
