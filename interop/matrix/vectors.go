package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"esdk/internal/suite"
	"esdk/interop/peer"
)

// generateVectors makes the command write its own test vectors.
func generateVectors(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(*bin, "esdk"), "vectors", "generate", "-o", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("esdk vectors generate: %w: %s", err, out)
	}
	return nil
}

// vectors makes the peer decrypt, or refuse, the test vectors in a directory,
// with their keys.
func (r *runner) vectors(dir string) error {
	process, err := peer.Start(filepath.Join(*bin, r.name), filepath.Join(dir, "keys.json"), r.log)
	if err != nil {
		return err
	}
	for _, name := range []string{"manifest.json", "negative-manifest.json"} {
		var m struct {
			Tests map[string]struct {
				Scenario *scenario `json:"decryption-scenario"`
			}
		}
		if err := json.Unmarshal(readFile(filepath.Join(dir, name)), &m); err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(m.Tests)) {
			v := m.Tests[id]
			t := &test{feature: ownVectors, note: id + " " + v.Scenario.Description, suite: suite.Parse(v.Scenario.Suite), context: "none"}
			if v.Scenario.Type == "positive-esdk" {
				t.full = isFull(len(readFile(inFolder(dir, v.Scenario.Result))), v.Scenario.Frame)
			}
			if chosen(t) {
				r.results.add(r.name, t, oursToTheirs, r.vector(process, dir, v.Scenario))
			}
		}
	}
	return process.Close()
}

type scenario struct {
	Type, Description, Ciphertext, Result string

	Suite             string            `json:"algorithmSuiteId"`
	Frame             uint32            `json:"frame-size"`
	Key               *key              `json:"decryptKeyDescription"`
	ReproducedContext map[string]string `json:"reproduced-encryption-context"`
}

func inFolder(dir, uri string) string { return filepath.Join(dir, strings.TrimPrefix(uri, "file://")) }

func (r *runner) vector(process *peer.Process, dir string, s *scenario) error {
	if s.Key.Type == "aws-kms-hierarchy" {
		return peer.UnsupportedError("no key store with a static branch key")
	}
	out := r.path("back")
	request := &peer.Request{Op: "decrypt", Key: s.Key, Suite: s.Suite, ReproducedContext: s.ReproducedContext, In: inFolder(dir, s.Ciphertext), Out: out}
	if r.name == "cli" {
		request.API = "master-key"
	}
	_, err := process.Ask(request)
	switch {
	case errors.As(err, new(peer.UnsupportedError)) || errors.Is(err, peer.ErrEnded):
		return err
	case s.Type == "negative-esdk" && err == nil:
		return errors.New("it accepts the message")
	case s.Type == "negative-esdk":
		return nil
	case err == nil && !bytes.Equal(readFile(out), readFile(inFolder(dir, s.Result))):
		return errors.New("another plaintext")
	}
	return err
}
