//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// These are the credentials of interop/backends/seaweedfs.sh.
const accessKey, secretKey = "AKIDEXAMPLE", "secret"

// A store is a new bucket of a server.
type store struct {
	server, bucket string
	client         *http.Client
	signer         *v4.Signer
}

func newStore(ctx context.Context, server string) (*store, error) {
	s := &store{server: server, bucket: fmt.Sprintf("lake-%d", time.Now().UnixMilli()), signer: v4.NewSigner()}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: uploads}, Timeout: time.Minute}
	deadline := time.Now().Add(time.Minute) // it answers some seconds before it accepts objects
	for {
		err := s.request(ctx, "", nil)
		if err == nil {
			err = s.put(ctx, "first", nil)
		}
		if err == nil {
			return s, s.delete(ctx, "first")
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(time.Second)
	}
}

func (s *store) url() string { return "s3://" + s.bucket + "/" }

func (s *store) put(ctx context.Context, key string, content []byte) error {
	return s.do(ctx, http.MethodPut, "/"+key, content)
}

func (s *store) request(ctx context.Context, path string, content []byte) error {
	return s.do(ctx, http.MethodPut, path, content)
}

func (s *store) delete(ctx context.Context, key string) error {
	return s.do(ctx, http.MethodDelete, "/"+key, nil)
}

func (s *store) do(ctx context.Context, method, path string, content []byte) error {
	r, err := http.NewRequestWithContext(ctx, method, s.server+"/"+s.bucket+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	if err := s.signer.SignHTTP(ctx, credentials, r, unsigned, "s3", "us-east-1", time.Now()); err != nil {
		return err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return err
}

// A counter passes requests on and counts them.
type counter struct {
	url    string
	server *http.Server

	requests, lists, bodies, answers atomic.Int64
}

func newCounter(server string) (*counter, error) {
	target, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	c := new(counter)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		Transport:      &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		ModifyResponse: c.count,
	}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	c.url = "http://" + listener.Addr().String()
	c.server = &http.Server{Handler: proxy}
	go c.server.Serve(listener)
	return c, nil
}

// count adds an answer: its body, and its status and header as written.
func (c *counter) count(answer *http.Response) error {
	c.requests.Add(1)
	if answer.Request.URL.Query().Has("list-type") {
		c.lists.Add(1)
	}
	head, err := httputil.DumpResponse(answer, false)
	c.answers.Add(int64(len(head)))
	answer.Body = &countedBody{answer.Body, c}
	return err
}

type countedBody struct {
	io.ReadCloser
	of *counter
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.bodies.Add(int64(n))
	b.of.answers.Add(int64(n))
	return n, err
}

func (c *counter) per(n *atomic.Int64, objects int) float64 {
	return float64(n.Load()) / float64(objects)
}

func (c *counter) close() { c.server.Close() }
