//go:build man

package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// extraCommands returns the hidden command that writes manual pages from the
// help texts. Only builds with the tag man have it; releases don't.
func (a *app) extraCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use:    "man DIR",
		Short:  "Write the manual pages",
		Hidden: true,
		Args:   oneArgument("DIR"),
		RunE:   func(_ *cobra.Command, args []string) error { return writeManual(a, args[0]) },
	}}
}

func writeManual(a *app, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := a.newRootCommand()
	root.DisableAutoGenTag = true // the tag would have today's date
	epoch := time.Unix(0, 0)      // so would the header
	header := doc.GenManHeader{Section: "1", Source: "esdk", Manual: "esdk", Date: &epoch}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return err
	}
	for _, topic := range root.Commands() {
		if !topic.IsAdditionalHelpTopicCommand() {
			continue
		}
		f, err := os.Create(filepath.Join(dir, "esdk-"+topic.Name()+".1"))
		if err != nil {
			return err
		}
		topicHeader := header // GenMan sets the title
		if err := doc.GenMan(topic, &topicHeader, f); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
