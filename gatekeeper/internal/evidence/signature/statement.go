package signature

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// typeInToto is the payload type of in-toto statements in DSSE envelopes.
const typeInToto = "application/vnd.in-toto+json"

// The limits of one statement.
const (
	maxSubjects   = 1024
	maxSignatures = 16
)

// statement is an in-toto statement (in-toto Attestation Framework v1,
// spec/v1/statement.md; v0.1 has the same fields).
type statement struct {
	Type          string          `json:"_type"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
}

// parseStatement reads a statement that speaks about the subject. The
// judgement says why it is none.
func (j *job) parseStatement(payload []byte, st *statement) *judgement {
	refuse := func(f judgement) *judgement { return &f }
	var s statement
	if err := strictjson.Unmarshal(payload, &s); err != nil {
		return refuse(malformed("the statement: %v", err))
	}
	if s.Type != "https://in-toto.io/Statement/v1" && s.Type != "https://in-toto.io/Statement/v0.1" {
		return refuse(malformed("a statement of type %q", s.Type))
	}
	if s.PredicateType == "" {
		return refuse(malformed("the statement names no predicate type"))
	}
	if len(s.Subject) > maxSubjects {
		return refuse(malformed("the statement has %d subjects; at most %d are read", len(s.Subject), maxSubjects))
	}
	*st = s
	want := strings.TrimPrefix(j.digest, "sha256:")
	for _, subject := range s.Subject {
		if subject.Digest["sha256"] == want {
			return nil
		}
	}
	return refuse(invalid("it is about another image"))
}

// envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md).
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		Sig string `json:"sig"`
	} `json:"signatures"`
}

// judgeEnvelope judges an attestation of the tag form.
func (j *job) judgeEnvelope(mediaType string, data []byte, st *statement) judgement {
	if mediaType != typeDSSE {
		return malformed("a layer of type %q among the attestations", mediaType)
	}
	var env envelope
	if err := strictjson.Unmarshal(data, &env); err != nil {
		return malformed("the envelope: %v", err)
	}
	if env.PayloadType != typeInToto {
		return malformed("an envelope with a payload of type %q", env.PayloadType)
	}
	payload, err := decodeBase64(env.Payload)
	if err != nil {
		return malformed("the envelope's payload: %v", err)
	}
	if len(env.Signatures) == 0 || len(env.Signatures) > maxSignatures {
		return malformed("an envelope with %d signatures", len(env.Signatures))
	}
	if bad := j.parseStatement(payload, st); bad != nil {
		return *bad
	}
	message := dsse.PAE(env.PayloadType, payload)
	var ids []string
	for _, s := range env.Signatures {
		sig, err := decodeBase64(s.Sig)
		if err != nil {
			return malformed("a signature of the envelope: %v", err)
		}
		ids = append(ids, j.whoSigned(sig, message)...)
	}
	return signedBy(ids)
}

// decodeBase64 takes the standard and the URL alphabet, as DSSE allows.
func decodeBase64(s string) ([]byte, error) {
	if data, err := base64.StdEncoding.DecodeString(s); err == nil {
		return data, nil
	}
	data, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("no base64: %w", err)
	}
	return data, nil
}

// newAttestation keeps the predicate only when somebody we know stands by it.
func newAttestation(form, manifest string, judged judgement, st statement) policy.Attestation {
	a := policy.Attestation{
		Form: form, Manifest: manifest, Result: judged.result, VerifiedBy: judged.by, Reason: judged.reason,
		PredicateType: clean(st.PredicateType),
	}
	if judged.result == policy.Verified {
		a.Predicate = st.Predicate
	}
	return a
}
