//go:build full

package object

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // opens azblob://
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
)

// stores are the object stores in this build, by URL scheme.
var stores = map[string]store{"s3": s3Store{}, "gs": googleStore{}, "azblob": azureStore{}}

// googleStore identifies versions by their generation.
type googleStore struct{}

// open finds the credentials itself: if there are none, the Go CDK prints that
// to standard output and continues. It limits the attempts, so that requests to
// a dead server end.
func (googleStore) open(ctx context.Context, text string) (*blob.Bucket, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	opener := blob.BucketURLOpener(blob.DefaultURLMux())
	if os.Getenv("STORAGE_EMULATOR_HOST") == "" && u.Query().Get("anonymous") == "" {
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, err
		}
		client, err := gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(credentials))
		if err != nil {
			return nil, err
		}
		opener = &gcsblob.URLOpener{Client: client}
	}
	b, err := opener.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, err
	}
	var client *storage.Client
	if b.As(&client) {
		client.SetRetry(storage.WithMaxAttempts(maxAttempts))
	}
	return b, nil
}

// maxAttempts is how many times a request is made that fails temporarily.
const maxAttempts = 4

func (googleStore) reason(err error) error { return err }

func (googleStore) answer(r *blob.Reader) answer {
	var reader *storage.Reader
	if !r.As(&reader) {
		return answer{begins: -1}
	}
	generation := strconv.FormatInt(reader.Attrs.Generation, 10)
	return answer{description: description{version: generation, id: generation}, begins: reader.Attrs.StartOffset}
}

func (googleStore) writing(as func(any) bool) func() string {
	var w *storage.Writer
	if !as(&w) {
		return nil
	}
	return func() string { return strconv.FormatInt(w.Attrs().Generation, 10) }
}

func (googleStore) versionOf(old *blob.Attributes) string {
	var attributes storage.ObjectAttrs
	if !old.As(&attributes) {
		return ""
	}
	return strconv.FormatInt(attributes.Generation, 10)
}

func (googleStore) only(version string, as func(any) bool) {
	var object **storage.ObjectHandle
	if generation, err := strconv.ParseInt(version, 10, 64); err == nil && as(&object) {
		*object = (*object).Generation(generation)
	}
}

func (googleStore) replace(version string, as func(any) bool) {
	var object **storage.ObjectHandle
	if generation, err := strconv.ParseInt(version, 10, 64); err == nil && as(&object) {
		*object = (*object).If(storage.Conditions{GenerationMatch: generation})
	}
}

func (googleStore) listAfter(key string, as func(any) bool) {
	var query *storage.Query
	if as(&query) {
		query.StartOffset = key
	}
}

func (googleStore) entry(e *blob.ListObject) *Entry {
	entry := newEntry(e)
	var attributes storage.ObjectAttrs
	if e.As(&attributes) {
		entry.version = strconv.FormatInt(attributes.Generation, 10)
	}
	return entry
}

func (googleStore) parameters(url.Values) (parameters, error) { return parameters{}, nil }

// azureStore identifies versions by their ETag.
type azureStore struct{}

func (azureStore) open(ctx context.Context, url string) (*blob.Bucket, error) {
	return blob.OpenBucket(ctx, url)
}

// reason leaves out the full answer, which makes Azure's errors several lines
// long.
func (azureStore) reason(err error) error {
	response, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%d %s", response.StatusCode, response.ErrorCode)
}

func (azureStore) answer(r *blob.Reader) answer {
	var response azure.DownloadStreamResponse
	if !r.As(&response) {
		return answer{begins: -1}
	}
	a := answer{whole: response.ContentRange == nil}
	if response.ETag != nil {
		a.version = string(*response.ETag)
	}
	if response.VersionID != nil {
		a.id = *response.VersionID
	}
	if !a.whole {
		a.begins = rangeBegin(*response.ContentRange)
	}
	return a
}

// writing returns nil, since the Go CDK doesn't pass on the answer.
func (azureStore) writing(func(any) bool) func() string { return nil }

func (azureStore) versionOf(old *blob.Attributes) string { return old.ETag }

func (azureStore) only(version string, as func(any) bool) {
	var options *azure.DownloadStreamOptions
	if as(&options) && version != "" {
		options.AccessConditions = ifMatch(version)
	}
}

func (azureStore) replace(version string, as func(any) bool) {
	var options *azblob.UploadStreamOptions
	if as(&options) {
		options.AccessConditions = ifMatch(version)
	}
}

// listAfter does nothing: Azure always lists from the start.
func (azureStore) listAfter(string, func(any) bool) {}

func (azureStore) entry(e *blob.ListObject) *Entry {
	entry := newEntry(e)
	var item container.BlobItem
	if e.As(&item) && item.Properties.ETag != nil {
		entry.version = quoted(string(*item.Properties.ETag))
	}
	return entry
}

func (azureStore) parameters(url.Values) (parameters, error) { return parameters{}, nil }

func ifMatch(version string) *azure.AccessConditions {
	etag := azcore.ETag(version)
	return &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: &etag}}
}
