package chaos_test

import (
	"sync/atomic"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// replica is a gatekeeper process that can be killed and started again.
type replica struct {
	config    string
	process   *harness.Process
	addresses atomic.Pointer[harness.Addresses]
}

func (r *replica) start(tb *processes) {
	tb.Helper()
	var at harness.Addresses
	r.process, at = harness.Serve(tb, r.config)
	r.addresses.Store(&at)
	tb.add("gatekeeper", r.process)
}

func (r *replica) admin() string    { return r.addresses.Load().Admin }
func (r *replica) webhooks() string { return r.addresses.Load().Webhooks }

// policies are one for each kind of repository. Each refuses root.
const policies = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: moving}
spec:
  from: staging
  match: {repositories: ["moving/**"]}
  rules:
    - {name: not-root, expression: 'image.config.user != "root"', message: run as another user}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], channels: [stable]}
---
apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: fixed}
spec:
  from: staging
  match: {repositories: ["fixed/**"]}
  rules:
    - {name: not-root, expression: 'image.config.user != "root"', message: run as another user}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], immutable: true}
---
apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: signed}
spec:
  from: staging
  match: {repositories: ["signed/**"]}
  wait: WAIT
  rules:
    - {name: not-root, expression: 'image.config.user != "root"', message: run as another user}
  signatures:
    - {name: ci, anyOf: [{keyFile: ci.pub}]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`
