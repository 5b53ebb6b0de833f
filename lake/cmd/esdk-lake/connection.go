package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"esdk/cmd/esdk/bulk"
	"esdk/lake"
	"esdk/lake/codec"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
)

// A connection describes how to reach Temporal: by its own configuration and
// environment, overridden by flags.
type connection struct {
	address, namespace, queue string
	configFile, profile       string
	apiKeyFile                string
	encrypt, config           string
	verbose                   bool

	converter converter.DataConverter
	failures  converter.FailureConverter
}

func (c *connection) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.address, "address", "", "`HOST:PORT` of Temporal (default $TEMPORAL_ADDRESS, or its configuration)")
	flags.StringVar(&c.namespace, "namespace", "", "`NAMESPACE` (default $TEMPORAL_NAMESPACE, or its configuration)")
	flags.StringVar(&c.queue, "task-queue", lake.TaskQueue, "`NAME` of the task queue that workers take chunks from")
	flags.StringVar(&c.configFile, "temporal-config", "", "configuration `FILE` of Temporal (default $TEMPORAL_CONFIG_FILE, or its usual one)")
	flags.StringVar(&c.profile, "temporal-profile", "", "`NAME` of a profile in it (default $TEMPORAL_PROFILE)")
	flags.StringVar(&c.apiKeyFile, "api-key-file", "", "`FILE` with an API key for Temporal, such as Temporal Cloud's")
	flags.StringVar(&c.encrypt, "encrypt-history", "", "encrypt everything in the history under `KEY` (see \"esdk help keys\"); each command and worker needs it")
	flags.StringVar(&c.config, "esdk-config", "", "configuration `FILE` of esdk for this key (default as esdk's)")
	flags.BoolVar(&c.verbose, "verbose", false, "print the log of Temporal's library")
}

// open connects. The returned function closes the client and keys.
func (c *connection) open(ctx context.Context) (client.Client, func(), error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{ConfigFilePath: c.configFile, ConfigFileProfile: c.profile})
	if err != nil {
		return nil, nil, fmt.Errorf("configuration of Temporal: %w", err)
	}
	if c.address != "" {
		options.HostPort = c.address
	}
	if c.namespace != "" {
		options.Namespace = c.namespace
	}
	if c.apiKeyFile != "" {
		key, err := os.ReadFile(c.apiKeyFile)
		if err != nil {
			return nil, nil, err
		}
		options.Credentials = client.NewAPIKeyStaticCredentials(strings.TrimSpace(string(key)))
	}
	level := slog.LevelError
	if c.verbose {
		level = slog.LevelInfo
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	closeKeys := func() {}
	if c.encrypt != "" {
		if closeKeys, err = c.encryptHistory(ctx, &options); err != nil {
			return nil, nil, err
		}
	}
	c.converter = options.DataConverter
	if c.converter == nil {
		c.converter = converter.GetDefaultDataConverter()
	}
	c.failures = options.FailureConverter
	if c.failures == nil {
		c.failures = temporal.GetDefaultFailureConverter()
	}
	t, err := client.DialContext(ctx, options)
	if err != nil {
		closeKeys()
		return nil, nil, fmt.Errorf("connecting to Temporal: %w", err)
	}
	return t, func() { t.Close(); closeKeys() }, nil
}

// encryptHistory caches data keys for an hour, since a chunk has a dozen
// payloads.
func (c *connection) encryptHistory(ctx context.Context, options *client.Options) (closeKeys func(), err error) {
	flags := []string{"-k", c.encrypt, "--unsigned", "--cache", "max-age=1h,max-messages=10000"}
	if c.config != "" {
		flags = append(flags, "--config", c.config)
	}
	keys, err := bulk.OpenClient(ctx, flags)
	if err != nil {
		return nil, fmt.Errorf("--encrypt-history: %w", err)
	}
	codec.Apply(options, keys.Client)
	return keys.Close, nil
}
