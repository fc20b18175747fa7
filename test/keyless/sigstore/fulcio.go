package sigstore

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
	"github.com/sigstore/fulcio/pkg/config"
	fulciov2 "github.com/sigstore/fulcio/pkg/generated/protobuf"
	fulciov1 "github.com/sigstore/fulcio/pkg/generated/protobuf/legacy"
	"github.com/sigstore/fulcio/pkg/server"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// fulcio is the certificate authority with its root.
type fulcio struct {
	url  string
	root *x509.Certificate
}

// startFulcio serves both of Fulcio's HTTP interfaces: cosign 2 speaks the
// first, sigstore-go the second. Without a CT log its certificates have no SCT.
func startFulcio(tb testing.TB, i *issuer, l *ctLog) *fulcio {
	tb.Helper()
	authority, err := ephemeralca.NewEphemeralCA()
	if err != nil {
		tb.Fatalf("create Fulcio's CA: %v", err)
	}
	chain, _ := authority.GetSignerWithChain()
	handler, err := fulcioHandler(tb.Context(), authority, i, l)
	if err != nil {
		tb.Fatalf("start Fulcio: %v", err)
	}
	listener := httptest.NewServer(handler)
	tb.Cleanup(listener.Close)
	return &fulcio{url: listener.URL, root: chain[0]}
}

func fulcioHandler(ctx context.Context, authority *ephemeralca.EphemeralCA, i *issuer, l *ctLog) (http.Handler, error) {
	issuers, err := fulcioConfig(i)
	if err != nil {
		return nil, err
	}
	var log *client.LogClient
	if l != nil {
		if log, err = client.New(l.url, &http.Client{Timeout: time.Minute}, jsonclient.Options{PublicKeyDER: l.der}); err != nil {
			return nil, fmt.Errorf("client of the CT log: %w", err)
		}
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig([]protocommon.PublicKeyDetails{
		protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, protocommon.PublicKeyDetails_PKIX_ED25519,
	})
	if err != nil {
		return nil, fmt.Errorf("algorithms: %w", err)
	}
	ca := server.NewGRPCCAServer(log, authority, algorithms, server.NewIssuerPool(issuers))
	mux := runtime.NewServeMux(runtime.WithMetadata(bearerToken), runtime.WithForwardResponseOption(responseStatus))
	if err := fulciov2.RegisterCAHandlerServer(ctx, mux, ca); err != nil {
		return nil, fmt.Errorf("register the API v2: %w", err)
	}
	if err := fulciov1.RegisterCAHandlerServer(ctx, mux, server.NewLegacyGRPCCAServer(ca)); err != nil {
		return nil, fmt.Errorf("register the API v1: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Fulcio's own server puts the configuration there, too.
		mux.ServeHTTP(w, r.WithContext(config.With(r.Context(), issuers)))
	}), nil
}

func fulcioConfig(i *issuer) (*config.FulcioConfig, error) {
	text, err := json.Marshal(config.FulcioConfig{OIDCIssuers: map[string]config.OIDCIssuer{
		i.url + emailPath:    {IssuerURL: i.url + emailPath, ClientID: audience, Type: config.IssuerTypeEmail},
		i.url + workflowPath: {IssuerURL: i.url + workflowPath, ClientID: audience, Type: config.IssuerTypeGithubWorkflow},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode Fulcio's configuration: %w", err)
	}
	read, err := config.Read(text)
	if err != nil {
		return nil, fmt.Errorf("read Fulcio's configuration: %w", err)
	}
	return read, nil
}

// bearerToken carries the identity token from HTTP to the handler.
func bearerToken(_ context.Context, r *http.Request) metadata.MD {
	return metadata.Pairs(server.MetadataOIDCTokenKey, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
}

// responseStatus lets the API v1 answer 201, which its clients insist on.
func responseStatus(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
	answer, ok := runtime.ServerMetadataFromContext(ctx)
	if ok && len(answer.HeaderMD.Get(server.HTTPResponseCodeMetadataKey)) > 0 {
		w.WriteHeader(http.StatusCreated)
	}
	return nil
}
