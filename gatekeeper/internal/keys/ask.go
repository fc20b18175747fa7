package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// openTime is how long a service may take to tell a public key.
const openTime = 30 * time.Second

// maxAsked is how many questions to a service may be without an answer.
const maxAsked = 16

// errNoAnswer says that a key management service was waited for in vain.
var errNoAnswer = errors.New("the key management service does not answer")

// ask asks a service, and waits no longer than ctx: Vault's client takes no
// context, and has no limit. What is given up ends when its connection does.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() { // nobody else would catch it here
			if r := recover(); r != nil {
				a.err = fmt.Errorf("asking the key management service crashed: %v", r)
			}
			answers <- a
		}()
		a.value, a.err = question(ctx)
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
	}
}
