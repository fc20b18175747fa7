package notifications

import (
	"context"
	"net/http"
	"time"
)

// Push is one pushed manifest as a registry reported it: a hint, never
// evidence. Everything in it is checked against the grammar of the OCI
// distribution-spec v1.1, but nothing in it is believed.
type Push struct {
	Source     string    // the configured registry's name; from the URL path, never from the payload
	Repository string    // "team-a/app"
	Tag        string    // empty when pushed by digest
	Digest     string    // "sha256:…"; empty when the format carries none
	MediaType  string    // as reported; may be empty
	EventID    string    // the sender's id for this event; empty when the format has none
	Actor      string    // as reported, not authenticated
	Time       time.Time // the sender's clock; zero when the format has none
}

// Event is one entry of a notification: a push, or the reason why it is none.
type Event struct {
	Push    Push
	Ignored string // why the event does not concern us, for people; empty when it is a push
	Err     error  // the event is malformed: names the field and what is wrong with it
}

// Decoder turns one registry's notification format into events. An error
// means that the body as a whole cannot be read; a malformed event among
// good ones is that Event's Err.
type Decoder interface {
	Decode(header http.Header, body []byte) ([]Event, error)
}

// Receipt says what became of the pushes handed to a Sink.
type Receipt struct {
	Accepted   int // committed to storage
	Duplicates int // already known
}

// Sink takes pushes. When Accept returns without error they are durable:
// a crash at any later instant loses none of them.
type Sink interface {
	Accept(ctx context.Context, pushes []Push) (Receipt, error)
}
