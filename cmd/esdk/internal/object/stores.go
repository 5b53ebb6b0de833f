//go:build !full

package object

// stores are the object stores that this build has, by the scheme of their URLs.
var stores = map[string]store{"s3": s3Store{}}
