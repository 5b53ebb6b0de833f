package lake_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates writes a self-signed certificate, for server and clients, and
// its key, and returns the files.
func (w *world) certificates() (ca, cert, key string) {
	w.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	w.check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	w.check(err)
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(w.home, name)
		w.check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	cert = write("tls.pem", "CERTIFICATE", der)
	return cert, cert, write("tls.key", "PRIVATE KEY", keyDER)
}

// tlsProxy provides TLS for the server, which has none on one machine, and
// requires client certificates.
func (w *world) tlsProxy(ca, cert, key string) string {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	w.check(err)
	text, err := os.ReadFile(ca)
	w.check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	})
	w.check(err)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go w.forward(from)
		}
	}()
	return l.Addr().String()
}

func (w *world) forward(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", w.temporal)
	if err != nil {
		return
	}
	go func() {
		io.Copy(to, from)
		to.Close()
	}()
	io.Copy(from, to)
}
