// Package kmssim simulates AWS KMS for tests and for development without AWS.
//
// A [Server] speaks KMS's own protocol on a loopback address, so the AWS SDK's
// client, and everything built on it, runs unchanged:
//
//	server := kmssim.New()
//	defer server.Close()
//	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
//	client := server.Client("us-west-2")
//	kr, err := awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(client)}, arn)
//
// One server is KMS in all regions of the partition aws, for the account
// [Account]. Like AWS, it takes the region of a request from the scope of its
// credentials. It accepts any credentials and doesn't verify signatures. There
// are no policies: anyone may use every key. Inject the effects of a policy, a
// busy service or a broken network with [Server.Fault].
//
// The cryptography is real. A symmetric key's ciphertext is authenticated with
// its encryption context and opens only under that key, or under a key related
// to it by replication. RSA and ECDH keys are interoperable with other software
// that has their public keys. But everything is held in memory, in the clear,
// and is lost when the server is closed: don't protect anything with it.
//
// The methods that make, disable or delete keys, aliases and grants send no
// requests: they aren't counted, and faults don't affect them. They panic if
// they can't do their work.
//
// The command in cmd/kmssim serves the same to programs in other languages.
package kmssim

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Account is the account that owns all keys.
const Account = "111122223333"

const partition = "aws"

// A Server is a simulated KMS. It is also an [http.Handler], for programs
// with their own HTTP server. Its methods are safe for concurrent use.
type Server struct {
	keys  store
	log   requestLog
	chaos chaos

	http   *http.Server
	url    string
	client *http.Client
	done   chan struct{}
	close  func() error
}

// New starts a server on a free port of 127.0.0.1. It panics if there is none.
// The caller must call Close.
func New() *Server {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		panic(err.Error())
	}
	return s
}

// Listen starts a server on the given address, which must be a loopback
// address. The caller must call Close.
func Listen(addr string) (*Server, error) {
	if err := checkLoopback(addr); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("kmssim: %w", err)
	}
	s := newServer()
	s.url = "http://" + listener.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.http.Serve(listener) // returns when it is closed
	}()
	s.close = sync.OnceValue(func() error {
		close(s.done)
		s.client.CloseIdleConnections()
		err := s.http.Close()
		<-stopped
		return err
	})
	return s, nil
}

func newServer() *Server {
	s := &Server{
		done: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 1024, // tests call from a great many goroutines
			IdleConnTimeout:     time.Minute,
		}},
	}
	s.keys.init()
	s.log.init()
	return s
}

// checkLoopback rejects addresses that other machines can reach: the server
// trusts every client.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("kmssim: %w", err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("kmssim: %q is not a loopback address", addr)
}

// Close stops the server and aborts the requests in progress.
func (s *Server) Close() { s.close() }

// URL returns the server's endpoint, such as http://127.0.0.1:41234, for the
// variable AWS_ENDPOINT_URL_KMS.
func (s *Server) URL() string { return s.url }

// Client returns a client for a region of this server. It retries as the AWS
// SDK does, but waits at most a few milliseconds in between.
func (s *Server) Client(region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.url),
		HTTPClient:   s.client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			// This is as long as a real secret: GODEBUG=fips140=only has a
			// minimum length for HMAC keys.
			return aws.Credentials{AccessKeyID: "kmssim", SecretAccessKey: strings.Repeat("k", 40)}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxBackoff = 5 * time.Millisecond
		}),
	})
}
