package sigstore

import (
	"math/rand/v2"
	"net"
	"strconv"
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

// The ports that are nobody's by default: systems hand out higher ones to
// whoever asks for any, and lower ones are those of well-known services.
const firstPort, lastPort = 20_000, 32_000

// freePorts returns ports of 127.0.0.1 that nobody listens on, and that nobody
// is given who asks for any: Rekor v2 refuses to choose its own.
func freePorts(tb testing.TB, count int) []string {
	tb.Helper()
	ports := make([]string, 0, count)
	for range lastPort - firstPort {
		port := strconv.Itoa(firstPort + rand.IntN(lastPort-firstPort))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port) //nolint:noctx // closed on return
		if err != nil {
			continue // somebody has it
		}
		defer func() { _ = listener.Close() }()
		if ports = append(ports, port); len(ports) == count {
			return ports
		}
	}
	tb.Fatalf("no free port from %d to %d", firstPort, lastPort)
	return nil
}
