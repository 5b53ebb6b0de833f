//go:build full && linux

package main

import (
	"net/http"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

func init() {
	storeKinds["ESDK_GCS_URL"] = newGoogleStore
	storeKinds["ESDK_AZURE_URL"] = newAzureStore
}

func newGoogleStore(t testing.TB, server, proxy string) *testStore {
	t.Helper()
	name := bucketName()
	response, err := http.Post(server+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("make a bucket: %v, %v", response, err)
	}
	response.Body.Close()
	environment := func(url string) map[string]string {
		return map[string]string{"STORAGE_EMULATOR_HOST": strings.TrimPrefix(url, "http://")}
	}
	return openStore(t, "gs://"+name, environment(server), environment(proxy))
}

// The account and key of Azurite are the same in every installation.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

func newAzureStore(t testing.TB, server, proxy string) *testStore {
	t.Helper()
	name := bucketName()
	credential, err := azblob.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(server+"/"+azureAccount, credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	environment := func(url string) map[string]string {
		return map[string]string{
			"AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_KEY": azureKey, "AZURE_STORAGE_PROTOCOL": "http",
			"AZURE_STORAGE_DOMAIN": strings.TrimPrefix(url, "http://"), "AZURE_STORAGE_IS_LOCAL_EMULATOR": "true",
		}
	}
	return openStore(t, "azblob://"+name, environment(server), environment(proxy))
}

// TestObjectsSecret checks that the error for a wrong address of a store
// doesn't contain the token.
func TestObjectsSecret(t *testing.T) {
	s := &testStore{env: map[string]string{
		"AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=hidden", "AZURE_STORAGE_PROTOCOL": "http",
		"AZURE_STORAGE_DOMAIN": "127.0.0.1:1", "AZURE_STORAGE_IS_LOCAL_EMULATOR": "true",
	}}
	said := s.run(t, t.TempDir(), cli.ExitUnavailable, "verify", "-k", "aes:n/k@key", "azblob://c/x")
	if strings.Contains(said, "hidden") || !strings.Contains(said, "refused") {
		t.Errorf("stderr %q", said)
	}
}
