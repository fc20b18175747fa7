// Package distribution decodes the notifications of CNCF Distribution, v2 and
// v3, and of registries built on it.
package distribution

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// ContentTypes are the media types of an envelope: v1 of Distribution 2.x, v2
// of 3.x, whose schema is the same, and JSON from relays in between.
func ContentTypes() []string {
	return []string{
		"application/vnd.docker.distribution.events.v1+json",
		"application/vnd.docker.distribution.events.v2+json",
		"application/json",
	}
}

// Decoder implements notifications.Decoder.
type Decoder struct {
	// OwnUserAgent is how the User-Agent of the gatekeeper's own requests
	// begins; what they push is not judged. Empty: nothing is ours.
	OwnUserAgent string
}

// envelope keeps each event apart, so that a malformed one spoils no other.
// Distribution's own type for this decodes events into maps.
type envelope struct {
	Events []json.RawMessage `json:"events"`
}

// event is what is read of an event. The host, the addresses and the URL in it
// are not: a notification does not say where to look.
type event struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Action    string    `json:"action"`
	Target    struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Request struct {
		UserAgent string `json:"useragent"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// Decode implements notifications.Decoder.
func (d Decoder) Decode(_ http.Header, body []byte) ([]notifications.Event, error) {
	var env envelope
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&env); err != nil {
		return nil, fmt.Errorf("the body is no envelope of Distribution events: %w", err)
	}
	if dec.More() {
		return nil, errors.New("the body is no envelope of Distribution events: something follows it")
	}
	if env.Events == nil {
		return nil, errors.New(`the body is no envelope of Distribution events: "events" is missing`)
	}
	events := make([]notifications.Event, 0, len(env.Events))
	for i, raw := range env.Events {
		e := d.decodeEvent(raw)
		if e.Err != nil {
			e.Err = fmt.Errorf("events[%d]: %w", i, e.Err)
		}
		events = append(events, e)
	}
	return events, nil
}

func (d Decoder) decodeEvent(raw json.RawMessage) notifications.Event {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return notifications.Event{Err: err}
	}
	if e.Action == "" {
		return notifications.Event{Err: errors.New("action is missing")}
	}
	if reason := d.ignored(e); reason != "" {
		return notifications.Event{Ignored: reason}
	}
	p := notifications.Push{
		Repository: e.Target.Repository, Tag: e.Target.Tag, Digest: e.Target.Digest, MediaType: e.Target.MediaType,
		EventID: e.ID, Actor: e.Actor.Name, Time: e.Timestamp,
	}
	if p.Digest == "" {
		return notifications.Event{Err: errors.New("target.digest is missing")}
	}
	if err := p.Validate(); err != nil {
		return notifications.Event{Err: fmt.Errorf("target: %w", err)}
	}
	return notifications.Event{Push: p}
}

// ignored says why an event is no push of a manifest by somebody else; empty
// when it is one. Blobs are pushed as application/octet-stream.
func (d Decoder) ignored(e event) string {
	switch {
	case e.Action != "push":
		return "the action is " + e.Action
	case !manifest(e.Target.MediaType):
		return "the media type is " + e.Target.MediaType
	case d.OwnUserAgent != "" && strings.HasPrefix(e.Request.UserAgent, d.OwnUserAgent):
		return "the gatekeeper pushed it"
	}
	return ""
}

// manifest says whether a media type is that of an image manifest or an index.
func manifest(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json":
		return true
	}
	return false
}
