package sigstore

import (
	"net"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// The servers of both generations of Rekor, at versions that build with the Go
// of this module.
const (
	rekorV1Module = "github.com/sigstore/rekor/cmd/rekor-server@v1.5.3"
	rekorV2Module = "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.2.1"
)

// startRekorV2 runs the server of Rekor v2, which answers with an inclusion
// proof and a checkpoint, without a time.
func startRekorV2(tb testing.TB) *transparencyLog {
	tb.Helper()
	key := newLogKey(tb)
	ports := freePorts(tb, 2)
	_, addr := harness.Start(tb, harness.After(`msg="starting HTTP proxy" address=`, " "), []string{"HOME=" + tb.TempDir()},
		harness.Tool(tb, rekorV2Module), "serve",
		"--http-address=127.0.0.1", "--http-port="+ports[0], "--grpc-address=127.0.0.1", "--grpc-port="+ports[1], "--http-metrics-port=0",
		// Verifiers take the origin of a checkpoint from the host in the trusted root.
		"--hostname=127.0.0.1", "--storage-dir="+tb.TempDir(), "--signer-filepath="+key.file,
		"--checkpoint-interval=100ms", "--batch-max-age=10ms")
	return key.log("http://" + addr)
}

// freePorts returns ports of 127.0.0.1 that nobody listens on. Rekor v2 refuses
// to choose its own; somebody else may be faster, but the system hands out
// ports in turn.
func freePorts(tb testing.TB, count int) []string {
	tb.Helper()
	ports := make([]string, count)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed on return
		if err != nil {
			tb.Fatalf("find a free port: %v", err)
		}
		defer func() { _ = listener.Close() }()
		if _, ports[i], err = net.SplitHostPort(listener.Addr().String()); err != nil {
			tb.Fatalf("find a free port: %v", err)
		}
	}
	return ports
}
