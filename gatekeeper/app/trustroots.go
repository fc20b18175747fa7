package app

import (
	"cmp"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
)

// trustDir is where TUF metadata is kept, below the data folder.
const trustDir = "trust-roots"

// trustRoots prepares the trust roots of the configuration.
func (s *setup) trustRoots(log *slog.Logger) *trust.Store {
	roots := make([]trust.Root, 0, len(s.config.TrustRoots))
	for _, r := range s.config.TrustRoots {
		root := trust.Root{Name: r.Name, File: r.File, Require: required(r.Require)}
		if r.TUF != nil {
			root.TUF = &trust.TUF{URL: r.TUF.URL, RootFile: r.TUF.RootFile, Target: r.TUF.TargetName()}
		}
		roots = append(roots, root)
	}
	return trust.New(roots, trust.Deps{
		Dir: filepath.Join(s.dir(), trustDir), Client: &http.Client{Timeout: time.Minute}, Now: time.Now, Log: log,
	})
}

func required(r config.Require) verify.Require {
	one := 1
	return verify.Require{
		CertificateTimestamps: *cmp.Or(r.CertificateTimestamps, &one), LogEntries: *cmp.Or(r.LogEntries, &one), Timestamps: *cmp.Or(r.Timestamps, &one),
	}
}
