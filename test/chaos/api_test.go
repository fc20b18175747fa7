package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// decision is what the API says of one judgement.
type decision struct {
	ID   int64
	Push struct {
		ID                      int64
		Repository, Tag, Digest string
		ReceivedAt              time.Time
	}
	Verdict   string
	DecidedAt time.Time
	Note      string
	Findings  []finding
	Results   []struct{ Findings []finding }
	Golden    []goldenReference
}

// finding is one rule's answer.
type finding struct{ Check, Rule, Outcome, Reason string }

// findings are those of the decision and of its policies.
func (d decision) findings() []finding {
	all := slices.Clone(d.Findings)
	for _, r := range d.Results {
		all = append(all, r.Findings...)
	}
	return all
}

// goldenReference is a golden tag that was written, or what one points to.
type goldenReference struct {
	Repository, Tag, Digest string
	PushID                  int64
	At                      time.Time
}

// api asks one gatekeeper.
type api struct {
	client *http.Client
	admin  string
}

func (a api) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, body)
	}
	return body, err
}

// decisions lists every decision, the oldest first.
func (a api) decisions(ctx context.Context) ([]decision, error) {
	var all []decision
	var page struct {
		Decisions []decision
		Before    int64
	}
	for query := "?limit=500"; ; query = fmt.Sprintf("?limit=500&before=%d", page.Before) {
		body, err := a.get(ctx, "/api/v1/decisions"+query)
		if err != nil {
			return nil, err
		}
		page.Before, page.Decisions = 0, nil
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Decisions...)
		if page.Before == 0 {
			slices.Reverse(all)
			return all, nil
		}
	}
}

// golden lists what the tags of a golden repository point to, as the
// gatekeeper remembers it.
func (a api) golden(ctx context.Context, repository string) (map[string]string, error) {
	body, err := a.get(ctx, "/api/v1/images?repository="+url.QueryEscape(repository))
	if err != nil {
		return nil, err
	}
	var list struct{ Images []goldenReference }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, image := range list.Images {
		tags[image.Tag] = image.Digest
	}
	return tags, nil
}

var queued = regexp.MustCompile(`(?m)^gatekeeper_queue_pushes\{state="(\w+)"\} (\S+)$`)

// open counts the pushes that have no final verdict yet, by their state.
func (a api) open(ctx context.Context) (map[string]int, error) {
	body, err := a.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	lines := queued.FindAllSubmatch(body, -1)
	if lines == nil {
		return nil, fmt.Errorf("gatekeeper_queue_pushes is not among the metrics:\n%s", body)
	}
	open := map[string]int{}
	for _, line := range lines {
		n, err := strconv.ParseFloat(string(line[2]), 64)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			open[string(line[1])] = int(n)
		}
	}
	return open, nil
}
