//go:build !full

package object

// stores are the object stores in this build, by URL scheme.
var stores = map[string]store{"s3": s3Store{}}
