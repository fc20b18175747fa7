package worker

import (
	"context"
	"io"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// Answer is a worker that a hostile image took over: it is confined like
// others, and does what a test says with a request. False: it behaves.
func Answer(stdin io.Reader, stdout io.Writer, misbehave func(scan.Request) (bool, error)) error {
	return answer(stdin, stdout, func(ctx context.Context, request scan.Request) scan.Response {
		if does, err := misbehave(request); does {
			if err == nil {
				return scan.Response{}
			}
			return scan.Response{Error: inWords(err, request.Limits)}
		}
		return respond(ctx, request)
	})
}
