//go:build !man

package main

import "github.com/spf13/cobra"

// extraCommands returns the commands that depend on build tags.
func (a *app) extraCommands() []*cobra.Command { return nil }
