package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// fakeKeeper is the program esdk-keeper-hashivault of the scripts, with a key of
// its own for each URL. The real one is tested in keeper/cdk.
func fakeKeeper() {
	if err := runFakeKeeper(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n\x1b", err)
		os.Exit(1)
	}
}

func runFakeKeeper() error {
	if os.Getenv("VAULT_TOKEN") != "good" {
		return errors.New("permission\ndenied")
	}
	if len(os.Args) != 3 {
		return errors.New("usage")
	}
	key := sha256.Sum256([]byte(os.Args[2]))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	output := aead.Seal(nil, nil, input, nil)
	if os.Args[1] == "decrypt" {
		output, err = aead.Open(nil, nil, input, nil)
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(output)
	return err
}
