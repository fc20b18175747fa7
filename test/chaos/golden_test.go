package chaos_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// goldenRepository is what a repository of the golden registry holds, read
// from its storage: the API of a registry lists no manifest without a tag.
type goldenRepository struct {
	tags      map[string]string   // what each points to
	manifests []string            // digests
	tagged    map[string][]string // the tags that ever pointed to a digest
	subjects  map[string]string   // what a manifest refers to
}

// readGolden reads everything below a Distribution's storage folder.
func readGolden(storage string) (map[string]*goldenRepository, error) {
	root := filepath.Join(storage, "docker/registry/v2")
	links, err := links(filepath.Join(root, "repositories"))
	if err != nil {
		return nil, err
	}
	golden := map[string]*goldenRepository{}
	for _, link := range links {
		repository, rest, ok := strings.Cut(link.path, "/_manifests/")
		if !ok {
			continue // a blob
		}
		g := golden[repository]
		if g == nil {
			g = &goldenRepository{tags: map[string]string{}, tagged: map[string][]string{}, subjects: map[string]string{}}
			golden[repository] = g
		}
		switch part := strings.Split(rest, "/"); {
		case part[0] == "revisions":
			g.manifests = append(g.manifests, link.digest)
			if g.subjects[link.digest], err = subjectOf(root, link.digest); err != nil {
				return nil, err
			}
		case part[0] == "tags" && part[2] == "current":
			g.tags[part[1]] = link.digest
		case part[0] == "tags" && part[2] == "index":
			g.tagged[link.digest] = append(g.tagged[link.digest], part[1])
		}
	}
	return golden, nil
}

type link struct{ path, digest string }

// links lists the files of the name link, and what is in them.
func links(root string) ([]link, error) {
	var found []link
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return nil, nil // nothing was ever written
	}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() != "link" {
			return err
		}
		digest, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		found = append(found, link{path: filepath.ToSlash(relative), digest: string(digest)})
		return err
	})
	return found, err
}

// subjectOf reads what a manifest says it refers to, itself or in the statement
// that it holds: a registry that is killed may have an attestation without its
// tag.
func subjectOf(root, digest string) (string, error) {
	var m struct {
		Subject struct{ Digest string }
		Layers  []struct{ MediaType, Digest string }
	}
	if err := readBlob(root, digest, &m); err != nil || m.Subject.Digest != "" {
		return m.Subject.Digest, err
	}
	for _, l := range m.Layers {
		if l.MediaType != "application/vnd.dsse.envelope.v1+json" {
			continue
		}
		var envelope struct{ Payload []byte }
		if err := readBlob(root, l.Digest, &envelope); err != nil {
			return "", err
		}
		var statement struct {
			Subject []struct{ Digest struct{ SHA256 string } }
		}
		if err := json.Unmarshal(envelope.Payload, &statement); err != nil {
			return "", err
		}
		for _, subject := range statement.Subject {
			return "sha256:" + subject.Digest.SHA256, nil
		}
	}
	return "", nil
}

// readBlob reads a blob that is JSON.
func readBlob(root, digest string, into any) error {
	hex := strings.TrimPrefix(digest, "sha256:")
	body, err := os.ReadFile(filepath.Join(root, "blobs/sha256", hex[:2], hex, "data"))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
