# Everything that is done with this repository. `make` alone lists it.

GO         ?= go
BIN        := bin/gatekeeper
LINTER     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
TOOLS      := $(CURDIR)/.tools
FUZZTIME   ?= 30s
RACE_FLAGS ?= -timeout 20m
export CGO_ENABLED ?= $(shell $(GO) env CGO_ENABLED)

.DEFAULT_GOAL := help
.PHONY: help build demo demo-once test attacks race lint chart-test keyless-test chaos bench fuzz check tidy clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/gatekeeper
	@test -x $(BIN) || echo "Building gatekeeper; the first time this takes some minutes ..."
	@CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/gatekeeper

demo: build ## Push sample images through everything embedded and show each decision; stays up
	@$(BIN) demo

demo-once: build ## The same, ending with status 0 when every sample got its verdict
	@$(BIN) demo --once

test: ## Unit and end-to-end tests; the latter build the registry and the cosign client once
	@echo "Testing; the first time this builds a registry, a cosign client and the gatekeeper, which takes minutes ..."
	@# Not from the cache: the end-to-end tests build the product themselves.
	$(GO) test -count=1 -timeout 30m ./...
	@# The short form; see the target chaos.
	cd test/chaos && $(GO) test -count=1 -timeout 10m ./...

attacks: ## Run the tests of published attacks and count them
	@out=$$(mktemp) || exit 1; trap 'rm -f "$$out"' EXIT; status=0; \
	$(GO) test -count=1 -timeout 20m -run '^TestAttack' -v $$(grep -rl --include='*_test.go' '^func TestAttack' . | xargs -n 1 dirname | sort -u) >"$$out" 2>&1 || status=$$?; \
	if test $$status -ne 0; then cat "$$out"; else grep -E '^(--- |ok)' "$$out"; fi; \
	echo "$$(sed -n 's/^--- PASS: \(TestAttack_[^ ]*\) .*/\1/p' "$$out" | sort -u | wc -l) attacks refused, $$(grep -c '^--- FAIL: TestAttack_' "$$out") not, $$(grep -c '^--- SKIP: TestAttack_' "$$out") not tried"; \
	exit $$status

# Everything but the scanner's worker and the composition root, which link the
# scanner and take long without much that is concurrent.
RACE = $(shell $(GO) list ./notifications/... ./policy/... ./gatekeeper/... | grep -v -e /gatekeeper/app$$ -e /evidence/scan/worker$$)

race: ## The tests of concurrent code under the race detector; needs a C compiler
	CGO_ENABLED=1 $(GO) test -race $(RACE_FLAGS) $(RACE)

# Modules of their own, so that their dependencies are not the product's.
TEST_MODULES := test/chart test/keyless test/chaos

lint: $(TOOLS)/golangci-lint ## The linter
	$(TOOLS)/golangci-lint run ./...
	@set -e; for m in $(TEST_MODULES); do echo "lint $$m"; \
		(cd $$m && $(GO) vet ./... && $(TOOLS)/golangci-lint run -c $(CURDIR)/.golangci.yml ./...); done
	$(GO) mod verify

$(TOOLS)/golangci-lint: Makefile
	@echo "Building the linter; this takes minutes once ..."
	GOBIN=$(TOOLS) CGO_ENABLED=0 $(GO) install $(LINTER)
	@touch $@

chart-test: ## Render the Helm chart and check it against the Kubernetes API types
	cd test/chart && $(GO) test -count=1 ./...

keyless-test: ## Compare with both cosigns, with a Sigstore on this machine; the first time this builds five programs
	cd test/keyless && $(GO) test -count=1 -timeout 30m ./...

# What docs/chaos.md has figures of; the environment can change it.
CHAOS_PUSHES   ?= 2000
CHAOS_SECONDS  ?= 240
CHAOS_REPLICAS ?= 3

chaos: ## Push while processes are killed and networks fail, about ten minutes; prints what got lost, twice or wrong
	@mkdir -p bin
	cd test/chaos && CHAOS_PUSHES=$(CHAOS_PUSHES) CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_REPLICAS=$(CHAOS_REPLICAS) \
		$(GO) test -count=1 -timeout 40m -artifacts -outputdir $(CURDIR)/bin -v ./...

bench: ## Compare with scripts and plain handlers, queue a backlog, drain it with replicas (docs/performance.md)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 90m ./test/bench

fuzz: ## Fuzz every decoder for FUZZTIME each
	@set -e; for t in $$(grep -rl --include='*_test.go' '^func Fuzz' . ); do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$t); do \
			echo "$$f in $$(dirname $$t)"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$(dirname $$t); done; done

check: lint test keyless-test race demo-once chart-test ## Everything that has to hold before a change lands

tidy: ## Tidy every module
	$(GO) mod tidy
	cd test/chart && $(GO) mod tidy
	cd test/keyless && $(GO) mod tidy
	cd test/chaos && $(GO) mod tidy

clean: ## Remove what was built
	rm -rf bin .tools
