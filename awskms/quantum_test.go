package awskms

import (
	"context"
	"crypto/fips140"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// hybrid lists the key exchanges that resist later quantum computers.
var hybrid = []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}

// TestPostQuantum: the clients of [DefaultClients] offer AWS KMS a hybrid
// post-quantum key exchange, and GODEBUG=tlsmlkem=0 turns it off. In FIPS mode,
// the AWS SDK selects other curves.
func TestPostQuantum(t *testing.T) {
	offered := make(chan []tls.CurveID, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				select {
				case offered <- hello.SupportedCurves:
				default:
				}
				return nil, nil // no certificate: ends the handshake
			}}).Handshake()
			conn.Close()
		}
	}()
	clients := DefaultClients(config.WithRegion("us-west-2"), config.WithBaseEndpoint("https://"+l.Addr().String()), config.WithRetryMaxAttempts(1),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		})))
	c, err := clients.Client(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")}); err == nil {
		t.Fatal("a server without a certificate answered")
	}
	isHybrid := func(c tls.CurveID) bool { return slices.Contains(hybrid, c) }
	curves := <-offered
	got, want := slices.ContainsFunc(curves, isHybrid), os.Getenv("ESDK_TEST_WITHOUT_MLKEM") == "" && !fips140.Enabled()
	if got != want {
		t.Errorf("%v are offered; hybrid ones %v, want %v", curves, got, want)
	}
	if want {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPostQuantum$")
		cmd.Env = append(os.Environ(), "GODEBUG=tlsmlkem=0", "ESDK_TEST_WITHOUT_MLKEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with GODEBUG=tlsmlkem=0: %v: %s", err, out)
		}
	}
}
