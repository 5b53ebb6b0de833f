//go:build !race

package modeltest

const Race = false
