package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
)

// sampleTag is the tag of every sample.
const sampleTag = "v1"

// pusher pushes and signs samples as a client does.
type pusher struct {
	host         string // the staging registry
	own, another signature.Signer
}

func newPusher(dir, host string) (*pusher, error) {
	private, err := os.ReadFile(filepath.Join(dir, privateKeyFile)) //nolint:gosec // in the demonstration's own folder
	if err != nil {
		return nil, err
	}
	p := &pusher{host: host}
	if p.own, err = cosignkey.Load(private, nil); err != nil {
		return nil, err
	}
	stranger, err := cosignkey.Generate(nil)
	if err != nil {
		return nil, err
	}
	p.another, err = cosignkey.Load(stranger.Private, nil)
	return p, err
}

func (s sample) repository() string { return "samples/" + s.name }

func (p *pusher) repository(s sample) (name.Repository, error) {
	return name.NewRepository(p.host + "/" + s.repository())
}

// push pushes a sample, signed beforehand where that is asked for: by digest,
// then the signature, then the tag. It returns the digest behind the tag.
func (p *pusher) push(ctx context.Context, s sample) (name.Digest, error) {
	repository, err := p.repository(s)
	if err != nil {
		return name.Digest{}, err
	}
	var earlier remote.Taggable
	if s.earlier != nil {
		if _, earlier, err = p.upload(ctx, repository, *s.earlier); err != nil {
			return name.Digest{}, err
		}
		if err := p.sign(ctx, s, repository, earlier); err != nil {
			return name.Digest{}, err
		}
	}
	digest, content, err := p.upload(ctx, repository, s.platforms...)
	if err != nil {
		return name.Digest{}, err
	}
	if err := p.sign(ctx, s, repository, content); err != nil {
		return name.Digest{}, err
	}
	for _, tagged := range []remote.Taggable{earlier, content} {
		if tagged == nil {
			continue
		}
		if err := remote.Tag(repository.Tag(sampleTag), tagged, remote.WithContext(ctx)); err != nil {
			return name.Digest{}, fmt.Errorf("push %s: %w", repository.Tag(sampleTag), err)
		}
	}
	return digest, nil
}

// upload pushes an image, or an index of several, by digest.
func (p *pusher) upload(ctx context.Context, repository name.Repository, specs ...sampleimage.Spec) (name.Digest, remote.Taggable, error) {
	if len(specs) > 1 {
		index, err := sampleimage.Index(specs...)
		if err != nil {
			return name.Digest{}, nil, err
		}
		digest, err := digestIn(repository, index)
		if err != nil {
			return name.Digest{}, nil, err
		}
		return digest, index, remote.WriteIndex(digest, index, remote.WithContext(ctx))
	}
	img, err := sampleimage.Image(specs[0])
	if err != nil {
		return name.Digest{}, nil, err
	}
	digest, err := digestIn(repository, img)
	if err != nil {
		return name.Digest{}, nil, err
	}
	return digest, img, remote.Write(digest, img, remote.WithContext(ctx))
}

func digestIn(repository name.Repository, content interface{ Digest() (v1.Hash, error) }) (name.Digest, error) {
	digest, err := content.Digest()
	if err != nil {
		return name.Digest{}, err
	}
	return repository.Digest(digest.String()), nil
}

// sign signs content that is signed before its tag is pushed.
func (p *pusher) sign(ctx context.Context, s sample, repository name.Repository, content remote.Taggable) error {
	signer := p.own
	switch s.signing {
	case signedByNobody, signedLate:
		return nil
	case signedByOther:
		signer = p.another
	case signedFirst:
	}
	hashed, ok := content.(interface{ Digest() (v1.Hash, error) })
	if !ok {
		return fmt.Errorf("sign %s: content without a digest", repository)
	}
	digest, err := digestIn(repository, hashed)
	if err != nil {
		return err
	}
	return cosignkey.Sign(ctx, digest, signer, remote.WithContext(ctx))
}
