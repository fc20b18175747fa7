package policyfile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// maxKeySize bounds the file of a public key or of certificates, in bytes.
const maxKeySize = 64 << 10

// KMSSchemes lists the key management systems whose keys policies may name.
// No other scheme is ever looked up: the library behind it would run a program
// of that name.
func KMSSchemes() []string { return []string{"awskms", "azurekms", "gcpkms", "hashivault"} }

// keys fills in what a policy names by file or in a key management system.
type keys struct {
	doc  *strictyaml.Document
	file string
	read ReadFile
	errs []error
}

func (k *keys) failf(at, format string, args ...any) {
	k.errs = append(k.errs, k.doc.Errorf(at, format, args...))
}

// fill reads the keys and certificates of every authority.
func (k *keys) fill(p *policy.Policy) {
	for i, a := range p.Spec.Authorities {
		k.fillAll(fmt.Sprintf("$.spec.authorities[%d].anyOf", i), a.AnyOf)
	}
	for i, s := range p.Spec.Signatures {
		k.fillAll(fmt.Sprintf("$.spec.signatures[%d].anyOf", i), s.AnyOf)
	}
}

func (k *keys) fillAll(at string, refs []policy.KeyReference) {
	for i := range refs {
		ref := &refs[i]
		here := fmt.Sprintf("%s[%d]", at, i)
		if ref.KeyFile != "" && ref.KMS != "" || ref.Key != "" && ref.KeyFile+ref.KMS != "" {
			k.failf(here, "more than one of keyFile, kms and key; keep one of them")
			continue
		}
		k.fromFile(here+".keyFile", ref.KeyFile, &ref.Key)
		k.fromKMS(here+".kms", ref.KMS, &ref.Key)
		if n := ref.Notary; n != nil {
			k.certificates(here+".notary.certificateFile", n.CertificateFile, &n.Certificates)
			k.certificates(here+".notary.timestampCertificateFile", n.TimestampCertificateFile, &n.TimestampCertificates)
		}
	}
}

func (k *keys) certificates(at, name string, into *string) {
	if name != "" && *into != "" {
		k.failf(at, "the certificates are there twice, by file and written out; keep one of them")
		return
	}
	k.fromFile(at, name, into)
}

func (k *keys) fromFile(at, name string, into *string) {
	if name == "" {
		return
	}
	if strings.Contains(name, "://") {
		k.failf(at, "%q is no file; a key management system's key is written as kms", name)
		return
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(k.file), name)
	}
	k.take(at, name, into)
}

func (k *keys) fromKMS(at, uri string, into *string) {
	if uri == "" {
		return
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || rest == "" || !slices.Contains(KMSSchemes(), scheme) {
		k.failf(at, "%q is no key of a key management system that is known; write %s://…", uri, strings.Join(KMSSchemes(), "://…, "))
		return
	}
	k.take(at, uri, into)
}

func (k *keys) take(at, name string, into *string) {
	data, err := k.read(name)
	if err != nil {
		k.failf(at, "cannot be read: %v", err)
		return
	}
	if len(data) > maxKeySize {
		k.failf(at, "%s has %d bytes; at most %d are read", name, len(data), maxKeySize)
		return
	}
	if len(data) == 0 {
		k.failf(at, "%s is empty", name)
		return
	}
	*into = string(data)
}
