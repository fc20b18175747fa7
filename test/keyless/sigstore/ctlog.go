package sigstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
)

// ctLog promises to log certificates, as RFC 6962 has it. The promise is real;
// nobody asks this log to keep it.
type ctLog struct {
	url string
	key *ecdsa.PrivateKey
	der []byte // the public key as SubjectPublicKeyInfo
}

func startCTLog(tb testing.TB) *ctLog {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("generate the CT log's key: %v", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatalf("encode the CT log's key: %v", err)
	}
	l := &ctLog{key: key, der: der}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ct.AddPreChainPath, l.addPreChain)
	server := httptest.NewServer(mux)
	tb.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// id is the log's identifier (RFC 6962, section 3.2).
func (l *ctLog) id() [sha256.Size]byte { return sha256.Sum256(l.der) }

// addPreChain answers as RFC 6962, section 4.2.
func (l *ctLog) addPreChain(w http.ResponseWriter, r *http.Request) {
	var request ct.AddChainRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response, err := l.promise(request.Chain)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, response)
}

// promise signs a precertificate's timestamp.
func (l *ctLog) promise(raw [][]byte) (*ct.AddChainResponse, error) {
	chain := make([]ct.ASN1Cert, len(raw))
	for i, der := range raw {
		chain[i] = ct.ASN1Cert{Data: der}
	}
	now := uint64(time.Now().UnixMilli())
	leaf, err := ct.MerkleTreeLeafFromRawChain(chain, ct.PrecertLogEntryType, now)
	if err != nil {
		return nil, fmt.Errorf("leaf of the precertificate: %w", err)
	}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: l.id()}, Timestamp: now}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: *leaf})
	if err != nil {
		return nil, fmt.Errorf("bytes to sign: %w", err)
	}
	signed, err := tls.CreateSignature(*l.key, tls.SHA256, input)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	signature, err := tls.Marshal(signed)
	if err != nil {
		return nil, fmt.Errorf("encode the signature: %w", err)
	}
	id := l.id()
	return &ct.AddChainResponse{SCTVersion: ct.V1, ID: id[:], Timestamp: now, Signature: signature}, nil
}
