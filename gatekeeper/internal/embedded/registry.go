// Package embedded runs CNCF Distribution inside the process: the staging and
// golden registries of the one-machine default and of the demonstration.
package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"

	// The storage driver the embedded registries use registers itself.
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// Options say where a registry listens and keeps its content.
type Options struct {
	Name string // for logs and errors: "staging"
	// Listener is taken over; it should be bound to a loopback address,
	// since the registry asks nobody for credentials.
	Listener net.Listener
	Dir      string // the content; created when missing
	// Notify is where pushes are reported; nil reports nothing.
	Notify *Endpoint
	// WriteToken, when set, is what a request has to carry in the header
	// TokenHeader to change anything. Reading stays free.
	WriteToken string
	Log        *slog.Logger
}

// Endpoint is a receiver of Distribution's notifications.
type Endpoint struct {
	URL    string
	Secret string // sent as a bearer token
}

// TokenHeader carries the WriteToken of a registry that others only read.
const TokenHeader = "X-Gatekeeper-Write-Token" //nolint:gosec // the name of a header, not a credential

// Registry is a running registry.
type Registry struct {
	name   string
	addr   string
	app    *handlers.App
	server *http.Server
	served chan error
}

// Start serves a registry until Close. Trouble with the configuration or the
// folder is an error here, not a panic later.
func Start(ctx context.Context, opts Options) (_ *Registry, err error) {
	defer func() {
		// handlers.NewApp panics where others return an error.
		if r := recover(); r != nil {
			err = fmt.Errorf("start the embedded %s registry: %v", opts.Name, r)
		}
	}()
	quiet(opts.Log)
	cfg, err := distributionConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("start the embedded %s registry: %w", opts.Name, err)
	}
	app := handlers.NewApp(context.WithoutCancel(ctx), cfg)
	var handler http.Handler = app
	if opts.WriteToken != "" {
		handler = readOnly(app, opts.WriteToken)
	}
	r := &Registry{
		name:   opts.Name,
		addr:   opts.Listener.Addr().String(),
		app:    app,
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute},
		served: make(chan error, 1),
	}
	go func() { r.served <- r.server.Serve(opts.Listener) }()
	return r, nil
}

// Addr is the registry's host and port.
func (r *Registry) Addr() string { return r.addr }

// Close stops the registry; requests under way have until ctx ends, and are cut
// off then, as are connections that nothing was sent over.
func (r *Registry) Close(ctx context.Context) error {
	shutdown := r.server.Shutdown(ctx)
	if errors.Is(shutdown, context.DeadlineExceeded) {
		shutdown = r.server.Close()
	} else if shutdown != nil {
		shutdown = errors.Join(shutdown, r.server.Close())
	}
	served := <-r.served
	if errors.Is(served, http.ErrServerClosed) {
		served = nil
	}
	if err := errors.Join(shutdown, served, r.app.Shutdown()); err != nil {
		return fmt.Errorf("stop the embedded %s registry: %w", r.name, err)
	}
	return nil
}

func distributionConfig(opts Options) (*configuration.Configuration, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make a secret: %w", err)
	}
	cfg := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  configuration.Parameters{"rootdirectory": opts.Dir},
			"delete":      configuration.Parameters{"enabled": true},
			"cache":       configuration.Parameters{"blobdescriptor": "inmemory"},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	cfg.Catalog.MaxEntries = 1000 // Distribution's default
	cfg.HTTP.Addr = opts.Listener.Addr().String()
	cfg.HTTP.Secret = hex.EncodeToString(secret)
	cfg.Log.AccessLog.Disabled = true
	if opts.Notify != nil {
		cfg.Notifications.Endpoints = []configuration.Endpoint{{
			Name:      "gatekeeper",
			URL:       opts.Notify.URL,
			Headers:   http.Header{"Authorization": {"Bearer " + opts.Notify.Secret}},
			Timeout:   5 * time.Second,
			Threshold: 3,
			Backoff:   time.Second,
			Ignore: configuration.Ignore{
				Actions:    []string{"pull", "mount", "delete"},
				MediaTypes: []string{"application/octet-stream"}, // blobs
			},
		}}
	}
	return cfg, nil
}
