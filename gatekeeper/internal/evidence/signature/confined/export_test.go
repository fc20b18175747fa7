package confined

import (
	"io"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// Serve runs a worker that judges as a test says, with less CPU time than
// others have.
func Serve(stdin io.Reader, stdout io.Writer, j func(*verify.Trusted, verify.Item) (verify.Answer, error)) error {
	l := limits()
	l.CPU = 6
	return serve(stdin, stdout, l, j)
}
