// Package kmssim simulates AWS KMS for tests and for development without AWS.
//
// A [Server] speaks KMS's own protocol on a loopback address, so that the client
// of the AWS SDK, and everything built on it, runs unchanged:
//
//	server := kmssim.New()
//	defer server.Close()
//	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
//	client := server.Client("us-west-2")
//
// One server is KMS in all regions of the partition aws, for the account
// [Account]. Like AWS it takes the region of a request from the scope of its
// credentials; which credentials they are does not matter, and signatures are not
// verified. There are no policies: everyone may use every key. What a policy, a
// busy service or a broken network would do is injected with [Server.Fault].
//
// The cryptography is real. A ciphertext of a symmetric key is authenticated with
// its encryption context and opens only under its key, or one that is related to
// it by replication. RSA and ECDH keys work with what others do with their public
// keys. Everything is held in memory, though, in the clear, and is gone when the
// server is closed: protect nothing with it.
//
// The methods that make, disable or delete keys, aliases and grants send no request:
// they are not counted, and no fault befalls them. They panic if what they are asked
// for cannot be done.
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

// Account is the account that all keys are in.
const Account = "111122223333"

const partition = "aws"

// A Server is a simulated KMS. It is also an [http.Handler], for those who want
// to serve it themselves. Its methods can be called concurrently.
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

// Listen starts a server on the given address, which must be a loopback one. The
// caller must call Close.
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
			MaxIdleConnsPerHost: 1024, // tests call from very many goroutines
			IdleConnTimeout:     time.Minute,
		}},
	}
	s.keys.init()
	s.log.init()
	return s
}

// checkLoopback refuses addresses that other machines can reach: the server
// trusts everyone.
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

// Close stops the server and breaks off the requests that are under way.
func (s *Server) Close() { s.close() }

// URL returns the server's endpoint, such as http://127.0.0.1:41234, which is what
// the variable AWS_ENDPOINT_URL_KMS takes.
func (s *Server) URL() string { return s.url }

// Client returns a client for a region of this server. It has the retries of the
// AWS SDK, but waits no longer than some milliseconds between them.
func (s *Server) Client(region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.url),
		HTTPClient:   s.client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			// As long as a real secret: GODEBUG=fips140=only has a bound for HMAC keys.
			return aws.Credentials{AccessKeyID: "kmssim", SecretAccessKey: strings.Repeat("k", 40)}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxBackoff = 5 * time.Millisecond
		}),
	})
}
