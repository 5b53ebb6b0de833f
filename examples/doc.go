// Package examples holds recipes: each directory is a package to copy from, with
// its tests on the real server that it is for. README.md tells what each costs.
package examples
