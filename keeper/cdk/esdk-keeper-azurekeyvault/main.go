// Command esdk-keeper-azurekeyvault lets the command esdk use keys of Azure Key
// Vault, such as -k azurekeyvault://VAULT.vault.azure.net/keys/KEY/VERSION.
package main

import (
	_ "gocloud.dev/secrets/azurekeyvault"

	"esdk/keeper/cdk"
)

func main() { cdk.Main() }
