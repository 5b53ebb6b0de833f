package esdk_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"esdk"
)

// Extract a file from an encrypted ZIP archive. Only the frames that hold the
// directory and the file are read and decrypted.
func ExampleClient_NewReaderAt() {
	ctx := context.Background()
	// Frames can be read one by one only if the message isn't signed.
	client, err := esdk.New(esdk.Config{Keyring: newKeyring(), Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(ctx, newZIP(), nil)
	if err != nil {
		log.Fatal(err)
	}

	r, err := client.NewReaderAt(ctx, bytes.NewReader(message), int64(len(message)), nil)
	if err != nil {
		log.Fatal(err)
	}
	archive, err := zip.NewReader(r, r.Size())
	if err != nil {
		log.Fatal(err)
	}
	file, err := archive.Open("hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output: Hello from an archive
}

func newZIP() []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range map[string]string{"hello.txt": "Hello from an archive", "large.txt": strings.Repeat("large ", 100_000)} {
		f, err := w.Create(name)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

// Serve an encrypted file over HTTP, with ranges, as if it weren't encrypted.
func ExampleReaderAt_serveContent() {
	client, err := esdk.New(esdk.Config{Keyring: newKeyring(), Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		log.Fatal(err)
	}
	path := newEncryptedFile(client, []byte(strings.Repeat("0123456789", 10_000)))
	defer os.RemoveAll(filepath.Dir(path))

	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		file, err := os.Open(path)
		if err != nil {
			http.Error(w, "no such file", http.StatusNotFound)
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			http.Error(w, "cannot read the file", http.StatusInternalServerError)
			return
		}
		r, err := client.NewReaderAt(req.Context(), file, info.Size(), nil)
		if err != nil {
			http.Error(w, "cannot decrypt the file", http.StatusInternalServerError)
			return
		}
		http.ServeContent(w, req, "digits.txt", time.Time{}, io.NewSectionReader(r, 0, r.Size()))
	})

	req := httptest.NewRequest(http.MethodGet, "/digits.txt", nil)
	req.Header.Set("Range", "bytes=70003-70007")
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, req)
	fmt.Println(response.Code, response.Header().Get("Content-Range"), response.Body)
	// Output: 206 bytes 70003-70007/100000 34567
}

func newEncryptedFile(client *esdk.Client, plaintext []byte) string {
	dir, err := os.MkdirTemp("", "esdk-example-")
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(context.Background(), plaintext, nil)
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "digits.txt.encrypted")
	if err := os.WriteFile(path, message, 0o600); err != nil {
		log.Fatal(err)
	}
	return path
}
