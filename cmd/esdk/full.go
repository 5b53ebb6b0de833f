//go:build full

package main

import (
	"strconv"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"gocloud.dev/blob"

	// The drivers of other clouds, which the full build has.
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/hashivault"
)

func init() {
	stores["gs"] = googleVersions{}
	stores["azblob"] = azureVersions{}
}

// googleVersions tells objects apart by their generation.
type googleVersions struct{}

func (googleVersions) version(r *blob.Reader) string {
	var reader *storage.Reader
	if !r.As(&reader) {
		return ""
	}
	return strconv.FormatInt(reader.Attrs.Generation, 10)
}

func (googleVersions) only(version string, as func(any) bool) {
	var object **storage.ObjectHandle
	if generation, err := strconv.ParseInt(version, 10, 64); err == nil && as(&object) {
		*object = (*object).Generation(generation)
	}
}

func (googleVersions) abandons() bool { return false }

// azureVersions tells blobs apart by their ETag.
type azureVersions struct{}

func (azureVersions) version(r *blob.Reader) string {
	var response azure.DownloadStreamResponse
	if !r.As(&response) || response.ETag == nil {
		return ""
	}
	return string(*response.ETag)
}

func (azureVersions) only(version string, as func(any) bool) {
	var options *azure.DownloadStreamOptions
	if as(&options) && version != "" {
		etag := azcore.ETag(version)
		options.AccessConditions = &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: &etag}}
	}
}

func (azureVersions) abandons() bool { return false }
