# Every target is a line that a person could type; what takes more is a script
# in .ci. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# An empty environment is enough: these are the places Go and the system use.
export PATH := $(if $(PATH),$(PATH):)/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME := $(or $(HOME),$(shell getent passwd "$$(id -u)" | cut -d: -f6),$(CURDIR)/.bin/home)
# No version stamping: it fails in a checkout that another user owns.
export GOFLAGS ?= -buildvcs=false

# FUZZTIME is how long `make fuzz` gives each target; CI's test gives ten seconds.
FUZZTIME ?= 1m
# COUNT is how often `make bench` runs each benchmark; benchstat wants ten.
COUNT ?= 10

# The folders of go.work's modules; go and golangci-lint take no ./... at a
# workspace's root.
modules = $(shell PATH='$(PATH)' go list -m -f '{{.Dir}}')

# Tools are built once for each state of their go.sum.
stamp = .bin/.$(1)-$(shell cat $(2)/go.mod $(2)/go.sum | cksum | cut -d' ' -f1)
tools := $(call stamp,tools,.tools)
buf := $(call stamp,buf,.tools/buf)
helm := $(call stamp,helm,.tools/helm)
api := $(call stamp,api,.tools/api)

##@ Use

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: build ## start both services and both stand-in systems, play the example process, check it
	.bin/demo

.PHONY: up
up: build ## the same, and keep it running with a page that shows both systems
	.bin/demo --keep

.PHONY: build
build: ## build every program into .bin
	@mkdir -p .bin
	go build -o .bin/ ./services/gateway/cmd/... ./services/synccore/cmd/... ./services/sandbox/cmd/...

##@ Check

.PHONY: test
test: ## everything CI checks; installs redis-server chromium and Mono if it can
	@MAKE='$(MAKE)' .ci/test.sh

.PHONY: unit
unit: $(tools) ## every module's tests with the race detector, shuffled
	rm -rf .bin/tape/unit
	TANDEM_TAPE=$(CURDIR)/.bin/tape/unit .ci/gotestsum.sh unit -race -shuffle=on -vet=off -timeout=10m work
	go test -vet=off -count=1 -run=TestBombsTakeLittleMemory ./services/synccore/internal/richtext # what the race detector would multiply

# HISTORIES is how many random histories `make converge` plays; `make unit` plays a few.
HISTORIES ?= 10000
.PHONY: converge
converge: ## random histories of edits and misfortunes on both sides, HISTORIES (10,000) of them
	go test -vet=off -count=1 -timeout=4h ./services/synccore/internal/convergetest -run='^TestRandomHistoriesConverge$$' -histories=$(HISTORIES) -worlds=$(shell nproc)

# GROUP_HISTORIES is how many of them `make converge-groups` plays over each group; `make unit` plays a few.
GROUP_HISTORIES ?= 100
.PHONY: converge-groups
converge-groups: ## the same over a real cluster of three and a pair behind sentinels, a primary failing in each; GROUP_HISTORIES (100)
	TANDEM_REQUIRE_REDIS=1 go test -vet=off -count=1 -v -timeout=4h ./services/synccore/internal/convergetest -run='^TestRandomHistoriesOverGroups$$' -group-histories=$(GROUP_HISTORIES)

# CRASHES is how many deaths `make crashes` tries beyond one after each kind of step; -1: all there can be, and pairs of them.
CRASHES ?= 3000
.PHONY: crashes
crashes: ## let a process die after every step, alone and in pairs; CRASHES (3,000) beyond those make unit tries
	go test -vet=off -count=1 -v -timeout=8h ./services/synccore/internal/convergetest -run='^TestCrashAfterEveryStep$$' -crashes=$(CRASHES) -worlds=$(shell nproc)

.PHONY: tenants
tenants: ## the same, a few each, with every kind of Alvao tenant that there may be (256)
	go test -vet=off -count=1 -timeout=1h ./services/synccore/internal/convergetest -run='^TestEveryKindOfTenantConverges$$' -every-tenant

.PHONY: converge-teeth
converge-teeth: ## plant bugs, one at a time, and see those suites fail
	go test -tags=teeth -vet=off -count=1 -v -timeout=2h ./services/synccore/internal/convergetest -run='^Test(Crash|Rebuild)?Teeth$$'

.PHONY: test-short
test-short: ## the quick tests, without the race detector
	go test -short -vet=off work

# FAILOVERS is how many fail-overs of a cluster and of a pair behind sentinels
# `make test-redis` plays; `make unit` plays one of each.
FAILOVERS ?= 4
.PHONY: test-redis
test-redis: $(tools) ## the stores' suites, refusing to go without a real redis-server; FAILOVERS (4) of each group
	TANDEM_REQUIRE_REDIS=1 .ci/gotestsum.sh redis -race -shuffle=on -vet=off -count=1 -timeout=10m ./services/synccore/internal/{datastore,inbox,lease,limiter,link,origin,pushed}/...
	TANDEM_REQUIRE_REDIS=1 go test -vet=off -count=1 -v -timeout=20m ./services/synccore/internal/inbox -run='^TestFailOver$$' -failovers=$(FAILOVERS)

# FLOOD is how many events `make flood` sends; `make unit` and `make e2e` send some thousands.
FLOOD ?= 1000000
.PHONY: flood
flood: ## FLOOD (1,000,000) events, 30 % of them repeated, and what memory they take
	TANDEM_REQUIRE_REDIS=1 go test -vet=off -count=1 -v -timeout=20m ./services/synccore/internal/inbox -run='^TestFlood$$' -flood=$(FLOOD)
	go test -tags=e2e -vet=off -count=1 -v -timeout=2h ./services/synccore/e2e -run='^TestFlood$$' -flood=$(FLOOD)

.PHONY: e2e
e2e: $(tools) $(api) ## both programs, a real Redis, the stand-ins and a browser
	rm -rf .bin/tape/e2e
	TANDEM_TAPE=$(CURDIR)/.bin/tape/e2e .ci/gotestsum.sh e2e -tags=e2e -race -shuffle=on -vet=off -count=1 -timeout=20m ./services/synccore/e2e/...

# PAIRS is how many linked pairs `make resync-large` resyncs; `make e2e` resyncs a few.
PAIRS ?= 100000
.PHONY: resync-large
resync-large: ## resync PAIRS (100,000) linked pairs with real programs and Redis, killed in the middle; prints calls, writes, memory
	go test -tags=e2e -vet=off -count=1 -v -timeout=30m ./services/synccore/e2e -run='^TestResyncOfManyPairs$$' -resync-pairs=$(PAIRS)

# CHAOS is how long `make chaos` attacks, until there were so many CHAOS_KILLS and CHAOS_EVENTS.
CHAOS ?= 3m
CHAOS_KILLS ?= 30
CHAOS_EVENTS ?= 10000
CHAOS_RATE ?= 100
.PHONY: chaos
chaos: ## kill, pause and cut off processes under load; CHAOS=15m CHAOS_KILLS=200 CHAOS_EVENTS=100000 is the long form, CHAOS_REDIS=cluster or sentinel another Redis
	go test -tags=e2e -vet=off -count=1 -v -timeout=1h ./services/synccore/e2e -run='^TestChaos$$' \
	  -chaos=$(CHAOS) -chaos-kills=$(CHAOS_KILLS) -chaos-events=$(CHAOS_EVENTS) -chaos-rate=$(CHAOS_RATE) $(if $(CHAOS_REDIS),-chaos-redis=$(CHAOS_REDIS)) $(if $(CHAOS_SEED),-chaos-seed=$(CHAOS_SEED))

.PHONY: conformance
conformance: $(tools) $(api) ## all requests and answers of both systems in all suites, against the vendors' documents
	rm -rf .bin/tape/conformance
	TANDEM_TAPE=$(CURDIR)/.bin/tape/conformance .ci/gotestsum.sh recorded -vet=off -count=1 -timeout=10m \
	  ./services/sandbox/... ./services/synccore/internal/{alvao,app,azuredevops,connector,convergetest,deskhook,poll,reconcile,resync,subscription}/...
	TANDEM_TAPE=$(CURDIR)/.bin/tape/conformance .ci/gotestsum.sh recorded -tags=e2e -vet=off -count=1 -timeout=20m ./services/synccore/e2e/...
	$(MAKE) conform TAPES=$(CURDIR)/.bin/tape/conformance

# TAPES are the folders that the suites filled, after unit and e2e without running them again.
TAPES ?= $(CURDIR)/.bin/tape/unit:$(CURDIR)/.bin/tape/e2e
.PHONY: conform
conform: ## the same for what unit and e2e have kept; make test does this
	TANDEM_TAPES=$(TAPES) go test -vet=off -count=1 -v -run=TestTheWholeRunConforms ./services/sandbox/azuredevops/conformtest ./services/sandbox/alvao/conformtest

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (1m); a crasher fails
	.ci/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: $(tools) $(buf) importlaw ## golangci-lint over all modules, the import law's proof, buf lint
	.bin/golangci-lint config verify
	GOGC=400 .bin/golangci-lint run $(addsuffix /...,$(modules))
	cd .tools && GOWORK=off ../.bin/golangci-lint run ./...
	cd deploy/check && GOWORK=off ../../.bin/golangci-lint run --build-tags=containers ./...
	.bin/buf lint
	.bin/buf format --diff --exit-code

.PHONY: importlaw
importlaw: $(tools) ## plant a violation of each import rule and see it reported
	GOWORK=off go -C .tools test -count=1 ./...

.PHONY: verify
verify: $(tools) $(buf) ## generated code and go.mod files are what the tools make of their sources
	.ci/verify.sh

.PHONY: breaking
breaking: $(buf) ## the protos still fit the last landed version and the last release
	.ci/breaking.sh

.PHONY: deadcode
deadcode: $(tools) ## functions that neither a program nor a test reaches
	.bin/deadcode -test $(addsuffix /...,$(modules))

.PHONY: mutate
mutate: $(tools) ## break the pure packages on purpose and see the tests notice
	.ci/mutate.sh

.PHONY: bench
bench: $(tools) ## benchmarks COUNT (10) times; kept in .bin/bench.txt, compared with .bin/bench.old.txt
	.ci/bench.sh $(COUNT)

.PHONY: vuln
vuln: $(tools) ## known vulnerabilities in what is called; a report, never a failure
	-for dir in $(modules); do .bin/govulncheck -C "$$dir" ./...; done

##@ Deploy

.PHONY: images
images: ## build the images with a local engine, pulling nothing; ARCH="amd64 arm64" for others
	.ci/images.sh $(ARCH)

.PHONY: containers-test
containers-test: ## the images and the compose stack, with a local engine, pulling nothing
	.ci/containers.sh

.PHONY: helm-test
helm-test: $(tools) $(helm) ## the Helm chart, read as the Kubernetes API would; the guides, that what they name exists
	cd deploy/check && GOWORK=off ../../.bin/gotestsum --format pkgname-and-test-fails -- -vet=off -count=1 -timeout=10m ./... 2>&1 | tee ../../.bin/helm.log

.PHONY: rules-test
rules-test: ## each alert of Prometheus, caused and cleared
	.ci/prometheus.sh
	.bin/prometheus/promtool check rules deploy/helm/tandem/files/rules.yaml
	.bin/prometheus/promtool test rules deploy/prometheus/rules_test.yaml

.PHONY: alvao-application
alvao-application: ## make deploy/alvao/TandemApplication.xml anew from its sources
	cd deploy/check && GOWORK=off go run ./cmd/alvao-application ../alvao

.PHONY: alvao-test
alvao-test: $(tools) ## the Alvao application, compiled and run with Mono against the gateway
	cd deploy/check && GOWORK=off go test -vet=off -count=1 ./application
	.ci/gotestsum.sh alvao -tags=mono -vet=off -count=1 -timeout=5m -run=TestAlvaoApplication ./services/gateway/internal/app

.PHONY: jaeger-test
jaeger-test: $(tools) ## traces as a real Jaeger tells them; builds it, which takes minutes once
	.ci/jaeger.sh
	.ci/gotestsum.sh jaeger -tags=e2e,jaeger -vet=off -count=1 -timeout=10m -run=TestJaeger ./services/synccore/e2e/...

.PHONY: pictures
pictures: build ## take the pictures in deploy/pictures from a run of minutes; needs chromium and npm
	.ci/jaeger.sh
	.ci/jaegerui.sh
	.ci/prometheus.sh
	.ci/pictures.sh

##@ Make

.PHONY: fmt
fmt: $(tools) $(buf) ## format Go and protos
	.bin/golangci-lint fmt $(modules)
	.bin/buf format --write

.PHONY: generate
generate: $(tools) $(buf) ## make gen anew from proto, and the schema and page of the configuration's keys
	rm -rf gen/tandem
	.bin/buf generate
	.ci/openapi.sh gen/openapi
	go run ./services/synccore/cmd/synccore config-schema >.bin/config.schema.json
	go run ./services/synccore/cmd/synccore config-schema --format=markdown >.bin/CONFIGURATION.md
	mv .bin/config.schema.json .bin/CONFIGURATION.md deploy/

.PHONY: tidy
tidy: ## tidy every go.mod, and agree on versions across modules
	go work sync
	for dir in $(modules); do GOWORK=off go -C "$$dir" mod tidy; done

.PHONY: tools
tools: $(tools) $(buf) $(api) ## build the pinned tools into .bin

$(tools):
	@mkdir -p .bin && rm -f .bin/.tools-*
	GOWORK=off GOBIN=$(CURDIR)/.bin go -C .tools install -ldflags='-s -w' tool
	@touch $@

$(buf):
	@mkdir -p .bin && rm -f .bin/.buf-*
	GOWORK=off GOBIN=$(CURDIR)/.bin go -C .tools/buf install -ldflags='-s -w' tool
	@touch $@

$(helm):
	@mkdir -p .bin && rm -f .bin/.helm-*
	GOWORK=off GOBIN=$(CURDIR)/.bin go -C .tools/helm install -ldflags='-s -w' tool
	@touch $@

$(api):
	@mkdir -p .bin && rm -f .bin/.api-*
	GOWORK=off GOBIN=$(CURDIR)/.bin go -C .tools/api install -ldflags='-s -w' tool
	@touch $@

.PHONY: clean
clean: ## remove everything that was built
	@if [[ -d .bin ]]; then chmod -R u+w .bin; fi
	rm -rf .bin
