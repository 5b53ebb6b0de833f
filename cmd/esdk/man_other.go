//go:build !man

package main

import "github.com/spf13/cobra"

// extraCommands are those of build tags.
func (a *app) extraCommands() []*cobra.Command { return nil }
