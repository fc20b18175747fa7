package telemetry

import (
	"context"
	"log/slog"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// maxReason bounds the reason in an audit line, in bytes.
const maxReason = 1024

// audit writes the one line that each decision leaves in the log.
func (m *Metrics) audit(ctx context.Context, d gatekeeper.Decision) {
	attrs := []slog.Attr{
		slog.Int64("decision_id", d.ID),
		slog.Int64("push_id", d.Push.ID),
		slog.String("source", d.Push.Source),
		slog.String("repository", d.Push.Repository),
		slog.String("tag", d.Push.Tag),
		slog.String("digest", d.Push.Digest),
		slog.String("actor", d.Push.Actor),
		slog.String("verdict", string(d.Verdict)),
		slog.String("mode", string(d.Mode)),
		slog.Int64("took_ms", d.Took.Milliseconds()),
	}
	var policies, golden []string
	for _, r := range d.Results {
		policies = append(policies, r.Policy+"@"+r.Fingerprint)
	}
	for _, g := range d.Golden {
		golden = append(golden, g.Registry+"/"+g.Repository+":"+g.Tag)
	}
	attrs = append(attrs, slog.Any("policies", policies), slog.Any("golden", golden))
	if reason := d.FirstReason(); reason != "" {
		attrs = append(attrs, slog.String("reason", reason[:min(len(reason), maxReason)]))
	}
	m.deps.Log.LogAttrs(ctx, slog.LevelInfo, "decision", attrs...)
}
