package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/distribution"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/database"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/sampledb"
)

// mirror serves a listing and the archive it names. Damage changes the
// archive after its checksum was taken.
func mirror(t *testing.T, damage bool) string {
	t.Helper()
	from := t.TempDir()
	if err := sampledb.Write(from); err != nil {
		t.Fatal(err)
	}
	description, err := v6.ReadDescription(scan.DatabaseFile(from))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(scan.DatabaseFile(from))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	zip := gzip.NewWriter(&archive)
	w := tar.NewWriter(zip)
	err = w.WriteHeader(&tar.Header{Name: v6.VulnerabilityDBFileName, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(text)
	}
	for _, closer := range []func() error{w.Close, zip.Close} {
		if err == nil {
			err = closer()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if damage {
		description.Built.Time = description.Built.Add(time.Hour) // newer than what any test has installed
	}
	listing, err := json.Marshal(distribution.NewLatestDocument(distribution.Archive{
		Description: *description, Path: "db.tar.gz", Checksum: fmt.Sprintf("sha256:%x", sha256.Sum256(archive.Bytes())),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if damage {
		archive.Bytes()[archive.Len()/2] ^= 0xff
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v6/latest.json":
			_, _ = w.Write(listing)
		case "/v6/db.tar.gz":
			_, _ = w.Write(archive.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v6/latest.json"
}

func TestTheDatabaseIsUpdatedFromAMirror(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), mirror(t, false)
	for i, want := range []bool{true, false} {
		newer, err := database.Update(t.Context(), dir, url)
		if err != nil || newer != want {
			t.Errorf("update %d: %v, %v", i+1, newer, err)
		}
	}
	if s, err := database.Verify(dir); err != nil || s.Sample {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAFailedUpdateLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := t.TempDir()
	if err := sampledb.Write(source); err != nil {
		t.Fatal(err)
	}
	if err := database.Import(t.Context(), dir, scan.DatabaseFile(source), ""); err != nil {
		t.Fatal(err)
	}
	before, err := database.Describe(dir)
	if err != nil {
		t.Fatal(err)
	}
	damaged := mirror(t, true)
	for _, url := range []string{damaged, strings.Replace(damaged, "latest.json", "absent.json", 1), "http://127.0.0.1:1/latest.json"} {
		if _, err := database.Update(t.Context(), dir, url); err == nil {
			t.Errorf("%s: no error", url)
		}
		if after, err := database.Describe(dir); err != nil || after != before {
			t.Errorf("%s: %+v, %v", url, after, err)
		}
	}
}
