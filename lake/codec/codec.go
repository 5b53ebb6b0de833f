// Package codec encrypts the payloads of a Temporal history with the AWS
// Encryption SDK, for any Temporal application. Pass the options of each client
// to [Apply], also where the client runs a worker:
//
//	c, err := esdk.New(esdk.Config{Keyring: kr})
//	options := client.Options{HostPort: "temporal.example.com:7233"}
//	codec.Apply(&options, c)
//	t, err := client.Dial(options)
//
// Inputs and results of workflows and activities, heartbeats, signals, queries
// and the texts of failures are encrypted. The names of workflows and
// activities, their times and their number remain visible.
package codec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"esdk"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

// encoding marks encrypted payloads.
const encoding = "binary/aws-encryption-sdk"

// binding is the encryption context. A message made for another purpose with
// the same keys isn't a valid payload.
var binding = esdk.EncryptionContext{"purpose": "temporal-payload"}

// callTime is how long a key service may take for a payload.
const callTime = time.Minute

type codec struct{ client *esdk.Client }

// New returns a codec that encrypts with a client. It rejects payloads that
// aren't encrypted, since anyone who can write to the server could have put
// them there.
func New(c *esdk.Client) converter.PayloadCodec { return &codec{c} }

// Apply makes a Temporal client encrypt as much of the history as possible. It
// sets the FailureConverter of the options, and wraps their DataConverter in
// the codec of [New].
func Apply(options *client.Options, c *esdk.Client) {
	parent := options.DataConverter
	if parent == nil {
		parent = converter.GetDefaultDataConverter()
	}
	// A key service may take longer than Temporal's limit for workflow code.
	options.DataConverter = workflow.DataConverterWithoutDeadlockDetection(converter.NewCodecDataConverter(parent, New(c)))
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          options.DataConverter,
		EncodeCommonAttributes: true,
	})
}

func (c *codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, func(ctx context.Context, p *commonpb.Payload) (*commonpb.Payload, error) {
		plaintext, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		message, _, err := c.client.Encrypt(ctx, plaintext, binding)
		return &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding)}, Data: message}, err
	})
}

func (c *codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, func(ctx context.Context, p *commonpb.Payload) (*commonpb.Payload, error) {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encoding {
			return nil, errors.New("codec: a payload is not encrypted")
		}
		plaintext, _, err := c.client.Decrypt(ctx, p.GetData(), binding)
		if err != nil {
			return nil, err
		}
		out := new(commonpb.Payload)
		return out, proto.Unmarshal(plaintext, out)
	})
}

func each(payloads []*commonpb.Payload, f func(context.Context, *commonpb.Payload) (*commonpb.Payload, error)) ([]*commonpb.Payload, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		var err error
		if out[i], err = f(ctx, p); err != nil {
			return nil, fmt.Errorf("a payload of the history: %w", err)
		}
	}
	return out, nil
}
