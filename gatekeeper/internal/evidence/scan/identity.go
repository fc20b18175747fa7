package scan

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// The files of a database, as Grype's schema 6 lays them out.
const (
	schemaDir    = "6"
	databaseFile = "vulnerability.db"
	importFile   = "import.json"
	// SampleFile marks a database that is a sample for demonstrations.
	SampleFile = "SAMPLE"
)

// DatabaseFile is the database file in a database folder.
func DatabaseFile(dir string) string { return filepath.Join(dir, schemaDir, databaseFile) }

// SampleMark is the file that marks a sample database.
func SampleMark(dir string) string { return filepath.Join(dir, schemaDir, SampleFile) }

// DatabaseChecksum tells databases apart without reading them: by the checksum
// that was noted when the database was installed. Empty: there is none.
func DatabaseChecksum(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, schemaDir, importFile)) //nolint:gosec // the folder is the configuration's
	if err != nil {
		return ""
	}
	var meta struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return ""
	}
	return meta.Digest
}
