// Package audit proves afterwards that golden tags went through the gate: it
// compares what a golden repository holds with the signed summaries beside it,
// and asks nobody else.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// Status says how a golden tag stands.
type Status string

// The statuses.
const (
	OK        Status = "ok"
	Bypassed  Status = "bypassed"  // it is there without having come through the gate
	Missing   Status = "missing"   // it was approved, and is not there
	Undecided Status = "undecided" // the registry did not answer
)

// Reason says why a tag is not OK.
type Reason string

// The reasons.
const (
	NoSummary      Reason = "no_summary"
	Malformed      Reason = "malformed"       // a summary that cannot be read
	OtherDigest    Reason = "other_digest"    // a summary about something else
	WrongKey       Reason = "wrong_key"       // signed by somebody who is not trusted
	OtherVerifier  Reason = "other_verifier"  // by a gatekeeper with another ID
	NotPassed      Reason = "not_passed"      // it does not say that the image is golden
	OtherReference Reason = "other_reference" // approved for another repository
	NotApproved    Reason = "not_approved"    // this digest was approved, for other tags
	MovedBack      Reason = "moved_back"      // another digest was approved for the tag later
	HiddenImage    Reason = "hidden_image"    // an image under a tag that is kept for signatures
	Deleted        Reason = "deleted"         // approved for the tag, which does not exist
	Unavailable    Reason = "unavailable"
)

// Finding is what there is to say about one tag.
type Finding struct {
	Tag    string `json:"tag"`
	Digest string `json:"digest,omitempty"` // what it points to; for a missing tag, what was approved
	Status Status `json:"status"`
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"` // for people
	// Policy and Approved are those of the summary that counts.
	Policy   string     `json:"policy,omitempty"`
	Approved *time.Time `json:"approved,omitempty"`
}

// Report is what there is to say about a repository.
type Report struct {
	Repository string    `json:"repository"` // host/repository
	Findings   []Finding `json:"findings"`   // by tag; empty, not null, when there are none
	// Error says why the tags could not be listed. There are no findings then,
	// and that says nothing about the tags.
	Error string `json:"error,omitempty"`
}

// Registries is what an Auditor reads from.
type Registries interface {
	summary.Source
	Host(registry string) (string, error)
	Tags(ctx context.Context, r registry.Repository) ([]string, error)
	ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error)
}

// Auditor audits golden repositories. Every field is required.
type Auditor struct {
	Registries Registries
	Trust      *summary.Trust
	Verifier   string // the ID that summaries have to name
}

// concurrency is how many tags are looked at at a time.
const concurrency = 4

// Audit looks at every tag of a repository. An error means that the tags could
// not be listed; the report then names the repository and the error. Trouble
// with single tags is in the report.
func (a *Auditor) Audit(ctx context.Context, repo registry.Repository) (Report, error) {
	host, err := a.Registries.Host(repo.Registry)
	if err != nil {
		return failed(repo.Registry+"/"+repo.Name, err)
	}
	tags, err := a.Registries.Tags(ctx, repo)
	if err != nil {
		return failed(host+"/"+repo.Name, fmt.Errorf("list the tags of %s/%s: %w", host, repo.Name, err))
	}
	j := &job{Auditor: a, repo: repo, golden: host + "/" + repo.Name, tags: tags, known: map[string]*known{}}
	j.findings = []Finding{}
	if err := j.read(ctx); err != nil {
		return failed(j.golden, err)
	}
	j.judge()
	slices.SortFunc(j.findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest)) })
	return Report{Repository: j.golden, Findings: j.findings}, nil
}

func failed(repository string, err error) (Report, error) {
	return Report{Repository: repository, Findings: []Finding{}, Error: err.Error()}, err
}

// job is the audit of one repository.
type job struct {
	*Auditor
	repo   registry.Repository
	golden string // host/repository
	tags   []string

	mu       sync.Mutex
	points   map[string]string // tag to digest
	known    map[string]*known // by digest
	findings []Finding
}

// known is what the summaries say about one digest.
type known struct {
	approvals []summary.Found // of this repository, by this gatekeeper
	reason    Reason          // why there is no approval
	detail    string
	undecided error
	tag       string // a reserved one that names the digest, if any
}

// read resolves the tags and reads what refers to what they point to.
func (j *job) read(ctx context.Context) error {
	j.points = map[string]string{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, tag := range j.tags {
		if subject, ok := reserved(tag); ok {
			j.expect(subject).tag = tag
			group.Go(func() error { return j.readReserved(groupCtx, tag) })
			continue
		}
		group.Go(func() error { return j.readTag(groupCtx, tag) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for digest, k := range j.known {
		group.Go(func() error { return j.readSummaries(groupCtx, digest, k) })
	}
	return group.Wait()
}

// expect has the summaries of a digest read.
func (j *job) expect(digest string) *known {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known[digest] == nil {
		j.known[digest] = &known{}
	}
	return j.known[digest]
}

func (j *job) add(f Finding) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.findings = append(j.findings, f)
}

// readTag resolves a tag, by its content. One that disappears meanwhile is as
// one that was not there.
func (j *job) readTag(ctx context.Context, tag string) error {
	content, err := j.Registries.ManifestByTag(ctx, j.repo, tag)
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
		return nil
	case errors.Is(err, gatekeeper.ErrInvalidContent):
		j.add(Finding{Tag: tag, Status: Bypassed, Reason: Malformed, Detail: err.Error()})
		j.point(tag, "")
		return nil
	case err != nil:
		j.add(unavailable(tag, "", err))
		j.point(tag, "")
		return ctx.Err()
	}
	j.point(tag, content.Digest)
	_ = j.expect(content.Digest)
	return nil
}

func (j *job) point(tag, digest string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.points[tag] = digest
}

func unavailable(tag, digest string, err error) Finding {
	return Finding{Tag: tag, Digest: digest, Status: Undecided, Reason: Unavailable, Detail: err.Error()}
}

// readSummaries sorts what is said about a digest.
func (j *job) readSummaries(ctx context.Context, digest string, k *known) error {
	found, err := summary.Find(ctx, j.Registries, j.repo, digest, j.Trust)
	switch {
	case errors.Is(err, gatekeeper.ErrInvalidContent):
		k.reason, k.detail = Malformed, err.Error()
		return nil
	case err != nil:
		k.undecided = err
		return ctx.Err()
	}
	k.reason, k.detail = NoSummary, "no summary of the gatekeeper refers to it"
	for _, f := range found {
		reason, detail := j.objection(f, digest)
		if reason == "" {
			k.approvals = append(k.approvals, f)
		} else if closer(reason, k.reason) {
			k.reason, k.detail = reason, detail
		}
	}
	return nil
}
