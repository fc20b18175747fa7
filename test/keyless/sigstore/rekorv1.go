package sigstore

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// startRekorV1 runs the server of Rekor v1, which answers with a signed entry
// timestamp, an inclusion proof and a checkpoint. It tries to serve metrics at
// port 2112 and does not mind when somebody else does.
func startRekorV1(tb testing.TB) *transparencyLog {
	tb.Helper()
	host, port := startTrillian(tb)
	key := newLogKey(tb)
	_, url := harness.Start(tb, harness.After("Serving rekor server at ", `", `), []string{"HOME=" + tb.TempDir()},
		harness.Tool(tb, rekorV1Module), "serve",
		"--rekor_server.address=127.0.0.1", "--port=0", "--rekor_server.hostname=127.0.0.1",
		"--rekor_server.signer="+key.file,
		"--trillian_log_server.address="+host, "--trillian_log_server.port="+port,
		"--enabled_api_endpoints=createLogEntry,getLogEntryByIndex,getLogEntryByUUID,getLogInfo,getLogProof,getPublicKey,searchLogQuery",
		"--enable_retrieve_api=false") // which would need Redis
	return key.log(url)
}

// quietTrillian drops Trillian's log: a tree in memory warns at every look for
// new leaves.
var quietTrillian = sync.OnceFunc(func() { //nolint:gochecknoglobals // so is the log
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
})

// startTrillian keeps Rekor's Merkle tree in memory and returns the host and
// the port of its gRPC server.
func startTrillian(tb testing.TB) (host, port string) {
	tb.Helper()
	quietTrillian()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed in Cleanup
	if err != nil {
		tb.Fatalf("listen for Trillian: %v", err)
	}
	trees := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(trees),
		LogStorage:   memory.NewLogStorage(trees, nil),
		QuotaManager: quota.Noop(),
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(s, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(s, server.NewTrillianLogRPCServer(registry, clock.System))
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var running sync.WaitGroup
	running.Go(func() { sequence(ctx, registry) })
	running.Go(func() {
		if err := s.Serve(listener); err != nil {
			tb.Errorf("serve Trillian: %v", err)
		}
	})
	tb.Cleanup(func() {
		cancel()
		s.Stop()
		running.Wait()
	})
	host, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		tb.Fatalf("address of Trillian: %v", err)
	}
	return host, port
}

// sequence puts queued entries into trees until the context ends.
//
//nolint:forbidigo // Trillian's package log is about a transparency log
func sequence(ctx context.Context, registry extension.Registry) {
	log.NewOperationManager(log.OperationInfo{
		Registry: registry, BatchSize: 50, NumWorkers: 1, RunInterval: 20 * time.Millisecond, TimeSource: clock.System,
	}, log.NewSequencerManager(registry, 0)).OperationLoop(ctx)
}
