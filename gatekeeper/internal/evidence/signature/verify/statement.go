package verify

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

// maxSubjects bounds the subjects of one statement.
const maxSubjects = 1024

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

// complete adds what the statement says to a judgement about it. What cannot
// be read could be either; it counts as a signature. The predicate is kept
// only when somebody we know stands by it.
func (st statement) complete(a Answer) Answer {
	a.PredicateType = Clean(st.PredicateType)
	a.Attestation = st.PredicateType != "" && st.PredicateType != PredicateSignature
	if a.Attestation && a.Result == policy.Verified {
		a.Predicate = st.Predicate
	}
	return a
}

// parseStatement reads a statement that speaks about a digest. The refusal
// says why it is none.
func parseStatement(payload []byte, digest string) (statement, *refusal) {
	var st statement
	if err := strictjson.Unmarshal(payload, &st); err != nil {
		return statement{}, malformed("the statement: %v", err)
	}
	if st.Type != "https://in-toto.io/Statement/v1" && st.Type != "https://in-toto.io/Statement/v0.1" {
		return statement{}, malformed("a statement of type %q", st.Type)
	}
	if st.PredicateType == "" {
		return statement{}, malformed("the statement names no predicate type")
	}
	if len(st.Subject) > maxSubjects {
		return st, malformed("the statement has %d subjects; at most %d are read", len(st.Subject), maxSubjects)
	}
	want := strings.TrimPrefix(digest, "sha256:")
	for _, subject := range st.Subject {
		if subject.Digest["sha256"] == want {
			return st, nil
		}
	}
	return st, invalid("it is about another image")
}

// envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md).
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		Sig string `json:"sig"`
	} `json:"signatures"`
}

// parsedEnvelope is an envelope, decoded.
type parsedEnvelope struct {
	payload, signature []byte
}

// envelope judges an attestation of cosign's older form.
func (t *Trusted) envelope(item Item) (Answer, error) {
	env, bad := parseEnvelope(item.Data)
	if bad != nil {
		return asAttestation(bad.answer()), nil
	}
	st, bad := parseStatement(env.payload, item.Subject.Digest)
	if bad != nil {
		return asAttestation(st.complete(bad.answer())), nil
	}
	who, err := t.whoSignedOlder(older{item: item, env: &env, message: dsse.PAE(typeInToto, env.payload), signature: env.signature})
	return asAttestation(st.complete(who.answer())), err
}

// asAttestation marks what is an attestation whatever it says: it is a layer
// of the form that holds nothing else. A signature's predicate in it counts
// as none.
func asAttestation(a Answer) Answer {
	a.Attestation = true
	return a
}

func parseEnvelope(data []byte) (parsedEnvelope, *refusal) {
	var env envelope
	if err := strictjson.Unmarshal(data, &env); err != nil {
		return parsedEnvelope{}, malformed("the envelope: %v", err)
	}
	if env.PayloadType != typeInToto {
		return parsedEnvelope{}, malformed("an envelope with a payload of type %q", env.PayloadType)
	}
	if len(env.Signatures) != 1 {
		return parsedEnvelope{}, malformed("an envelope with %d signatures; it has to have one", len(env.Signatures))
	}
	payload, err := decodeBase64(env.Payload)
	if err != nil {
		return parsedEnvelope{}, malformed("the envelope's payload: %v", err)
	}
	sig, err := decodeBase64(env.Signatures[0].Sig)
	if err != nil {
		return parsedEnvelope{}, malformed("the envelope's signature: %v", err)
	}
	return parsedEnvelope{payload, sig}, nil
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
