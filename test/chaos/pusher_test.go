package chaos_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
)

// made is a push that was made.
type made struct {
	push

	digest    string
	at        time.Time // when the registry had accepted the tag
	attempts  int       // how often the tag was sent: a registry that is killed may have it, and not say so
	signature string    // its digest; empty: never signed
	signed    time.Time // when the registry had accepted the signature
}

// pusher makes pushes as clients do, which do not give up: what the registry
// does not accept because it is away is sent again.
type pusher struct {
	registry func() string // host:port, for now
	client   *http.Client
	maker    *maker
}

// retryPause is between attempts at one upload.
const retryPause = 100 * time.Millisecond

// workers is how many clients push at a time.
const workers = 8

// run makes all pushes, spread over a duration. Those to one repository are
// made one after the other, so that their order is known.
func (p *pusher) run(ctx context.Context, pushes []push, duration time.Duration) ([]made, error) {
	results := make([]made, len(pushes))
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		g.Go(func() error {
			for i, next := range pushes {
				if workerOf(next.repository) != w {
					continue
				}
				if err := until(ctx, start.Add(duration*time.Duration(i)/time.Duration(len(pushes)))); err != nil {
					return err
				}
				var err error
				if results[i], err = p.push(ctx, next); err != nil {
					return err
				}
				if next.signing == signedLater {
					g.Go(func() error { return p.signLater(ctx, &results[i]) })
				}
			}
			return nil
		})
	}
	return results, g.Wait()
}

func workerOf(repository string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(repository)) // never fails
	return int(h.Sum32() % workers)
}

// push uploads an image under its tag, and its signature before it if that is
// what the plan says.
func (p *pusher) push(ctx context.Context, next push) (made, error) {
	img, err := p.maker.image(next)
	if err != nil {
		return made{}, err
	}
	done := made{push: next, digest: img.manifest.digest}
	if next.signing == signedFirst {
		if _, err := p.insist(ctx, next.repository, img.manifest.digest, img); err != nil {
			return made{}, err
		}
		if err := p.sign(ctx, &done); err != nil {
			return made{}, err
		}
	}
	done.attempts, err = p.insist(ctx, next.repository, next.tag, img)
	done.at = time.Now()
	return done, err
}

func (p *pusher) signLater(ctx context.Context, m *made) error {
	if err := until(ctx, m.at.Add(m.signAfter)); err != nil {
		return err
	}
	return p.sign(ctx, m)
}

func (p *pusher) sign(ctx context.Context, m *made) error {
	signature, err := p.maker.signature(m.repository, m.digest)
	if err != nil {
		return err
	}
	_, err = p.insist(ctx, m.repository, signatureTag(m.digest), signature)
	m.signature, m.signed = signature.manifest.digest, time.Now()
	return err
}

// insist uploads an image until the registry has it, and counts how often it
// sent the manifest.
func (p *pusher) insist(ctx context.Context, repository, reference string, img image) (attempts int, err error) {
	for {
		err := p.upload(ctx, repository, img.blobs)
		if err == nil {
			attempts++
			target := "http://" + p.registry() + "/v2/" + repository + "/manifests/" + reference
			_, err = p.send(ctx, http.MethodPut, target, manifestType, img.manifest.bytes, http.StatusCreated)
		}
		if err == nil {
			return attempts, nil
		}
		if stopped := until(ctx, time.Now().Add(retryPause)); stopped != nil {
			return attempts, fmt.Errorf("push %s:%s: %w", repository, reference, err)
		}
	}
}

// upload sends blobs (OCI distribution-spec v1.1, "Pushing a blob
// monolithically").
func (p *pusher) upload(ctx context.Context, repository string, blobs []content) error {
	for _, blob := range blobs {
		location, err := p.send(ctx, http.MethodPost, "http://"+p.registry()+"/v2/"+repository+"/blobs/uploads/", "", nil, http.StatusAccepted)
		if err != nil {
			return err
		}
		query := location.Query()
		query.Set("digest", blob.digest)
		location.RawQuery = query.Encode()
		if _, err := p.send(ctx, http.MethodPut, location.String(), "application/octet-stream", blob.bytes, http.StatusCreated); err != nil {
			return err
		}
	}
	return nil
}

// send makes one request, reads its answer to the end, and returns the
// Location in it, which is there when something was created.
func (p *pusher) send(ctx context.Context, method, target, contentType string, body []byte, want int) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s %s", method, target, resp.Status, text)
	}
	return resp.Location()
}

// until waits for a moment.
func until(ctx context.Context, moment time.Time) error {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
