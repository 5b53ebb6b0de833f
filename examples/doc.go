// Package examples holds recipes. Each directory is a package to copy from, and
// its tests run against a real server. README.md lists their costs.
package examples
