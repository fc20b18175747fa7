package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// The download of a large blob goes on where it broke, and is verified whole.
func TestADownloadGoesOn(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 8<<10) // 128 KiB
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	from := func(offset, broken int) reply {
		return reply{status: 206, header: []string{"Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, len(content)-1, len(content))}, body: content[offset:], truncated: broken}
	}
	cut := reply{body: content, truncated: 50_000}
	for _, tt := range []struct {
		name   string
		script []reply
		ranges []string // that are asked for
		fails  string
	}{
		{"whole", []reply{{body: content}}, nil, ""},
		{"broken once", []reply{cut, from(50_000, 0)}, []string{"bytes=50000-"}, ""},
		{"broken twice", []reply{cut, from(50_000, 10_000), from(60_000, 0)}, []string{"bytes=50000-", "bytes=60000-"}, ""},
		{"the registry needs a moment", []reply{cut, {status: 503}, from(50_000, 0)}, []string{"bytes=50000-", "bytes=50000-"}, ""},
		{
			"broken again and again",
			[]reply{cut, from(50_000, 1000), from(51_000, 1000), from(52_000, 1000), from(53_000, 1000)},
			[]string{"bytes=50000-", "bytes=51000-", "bytes=52000-"},
			"unexpected EOF",
		},
		{"it stands still", []reply{cut, {delay: time.Hour}}, []string{"bytes=50000-"}, "unexpected EOF"},
		{"no ranges", []reply{cut, {body: content}}, []string{"bytes=50000-"}, "unexpected EOF"},
		{"another range", []reply{cut, from(0, 0)}, []string{"bytes=50000-"}, "unexpected EOF"},
		{"gone", []reply{cut, {status: 404}}, []string{"bytes=50000-"}, "unexpected EOF"},
		{
			"other bytes",
			[]reply{cut, {status: 206, header: []string{"Content-Range", "bytes 50000-131071/131072"}, body: bytes.Repeat([]byte("x"), len(content)-50_000)}},
			[]string{"bytes=50000-"},
			"hashes to",
		},
		{"shorter than it should be", []reply{{body: content[:60_000]}}, nil, "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				p.staging.from(tt.script...)
				body, err := p.OpenBlob(t.Context(), app, d)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				got, err := io.ReadAll(body)
				if closed := body.Close(); closed != nil {
					t.Error(closed)
				}
				if tt.fails == "" && (err != nil || !bytes.Equal(got, content)) || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if invalid := errors.Is(err, gatekeeper.ErrInvalidContent); invalid != (tt.fails == "hashes to") {
					t.Errorf("%v", err)
				}
				var ranges []string
				for _, call := range p.staging.take()[1:] {
					_, asked, _ := strings.Cut(call, "/blobs/"+d.Digest+" ")
					ranges = append(ranges, asked)
				}
				if !slices.Equal(ranges, tt.ranges) {
					t.Errorf("asked for %v, want %v", ranges, tt.ranges)
				}
				if took := time.Since(begun); took > 15*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// An upload that holds the only turn, and whose source has to be asked again
// at the same registry, fails instead of waiting for itself.
func TestACopyDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent = 1 })
		p.staging.from(reply{body: content, truncated: 50_000}, reply{status: 202, header: []string{"Location", "/v2/app/blobs/uploads/1"}}, reply{status: 201})
		body, err := p.OpenBlob(t.Context(), app, d)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = p.PushBlob(t.Context(), app, d, body, nil)
		if took := time.Since(begun); err == nil || took < 10*time.Second || took > 15*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
}
