package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// ServeOptions are the flags of serve.
type ServeOptions struct {
	Config    string // file; empty: everything embedded
	Data      string // folder; only without Config
	LogLevel  string
	LogFormat string
	Reload    <-chan os.Signal // has the policies read again at once; only with Config
}

// Serve runs the service until ctx ends.
func Serve(ctx context.Context, o ServeOptions, streams Streams) error {
	log, err := newLog(streams.Err, o.LogLevel, o.LogFormat)
	if err != nil {
		return status(StatusUsage, err)
	}
	if o.Config == "" {
		return serveOneMachine(ctx, o.Data, log, streams.Out)
	}
	s, err := load(ctx, o.Config)
	if err != nil {
		return status(StatusUsage, err)
	}
	webhooks, admin, err := listen(ctx, s.config.Listen)
	if err != nil {
		return status(StatusRejected, err)
	}
	svc, err := newService(ctx, s, webhooks, admin, log)
	if err != nil {
		return status(StatusRejected, err)
	}
	if err := svc.run(ctx, o.Reload); err != nil {
		return status(StatusRejected, err)
	}
	return nil
}

func newLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("unknown log level %q: use debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case outputJSON:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("unknown log format %q: use text or json", format)
}

// The addresses of a service without a configuration.
const (
	stagingAddress = "127.0.0.1:5050"
	goldenAddress  = "127.0.0.1:5051"
	adminAddress   = "127.0.0.1:8080"
)

func serveOneMachine(ctx context.Context, dir string, log *slog.Logger, out io.Writer) error {
	if err := prepareData(dir); err != nil {
		return status(StatusRejected, err)
	}
	m, err := startOneMachine(ctx, machineOptions{
		dir: dir, staging: stagingAddress, golden: goldenAddress, admin: adminAddress, log: log,
	})
	if err != nil {
		return status(StatusRejected, fmt.Errorf("%w\n(use --config FILE for other addresses and registries)", err))
	}
	if _, err := fmt.Fprint(out, m.welcome()); err != nil {
		return errors.Join(err, m.stop(ctx))
	}
	if err := m.wait(ctx); err != nil {
		return status(StatusRejected, err)
	}
	return nil
}
