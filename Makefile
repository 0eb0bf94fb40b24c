# NEXUS Continuum. `make run` starts everything; `make test` tests everything.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION ?=
LDFLAGS := $(if $(VERSION),-X main.version=$(VERSION))
GO      ?= go
# go-nvml wraps functions that its header calls deprecated; the warnings help nobody here.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations
TOOL    := $(GO) tool -modfile=.ci/tools.mod
PROGRAM := bin/nexus
# What the program is built with: copies of some modules without what nexus does not use, see deploy/release/slim.
SLIM    := bin/slim/slim.mod
BUILD    = build $(VERBOSE) -modfile=$(SLIM) -trimpath
# A real S3 server for the tests, built by the go command in the version that .ci/s3.mod pins.
S3_SERVER := $(GO) tool -modfile=.ci/s3.mod -n versitygw
# A real ACME server for the tests.
ACME_SERVER := $(GO) tool -modfile=.ci/acme.mod -n pebble
NEEDS   := redis-server redis-cli promtool prometheus chromium jq
# The tests of the program and of its delivery run a program that was built without the race detector; see race-program.
RACE_PACKAGES := $$($(GO) list ./... | grep -v -e /cmd/nexus$$ -e /deploy$$)
FUZZTIME ?= 20s
FUZZ_PACKAGES ?= ./...
SEEDS   ?= 3

SWAPS ?= 1000
KILLS ?= 200

.PHONY: help run build static stripped needs test race race-program lint fmt base calibration calibration-both bench bench-once bench-model bench-people bench-bots bench-embeddings bench-torch bench-jobs bench-strain bench-retention bench-checkpoints chaos sim swaps kills truncate fuzz contract generate vuln image clean dashboard clients test-clients reference pictures runbook runbook-docker release

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## build and start everything in one process
	@test -x bin/nexus || { echo "Building bin/nexus. The first time this downloads modules and compiles everything: some minutes."; \
	  set -o pipefail; $(MAKE) --no-print-directory build VERBOSE=-v 2>&1 | deploy/release/progress.sh; }
	@$(MAKE) --no-print-directory build
	@exec ./bin/nexus serve

build: $(SLIM) ## build bin/nexus
	@$(GO) $(BUILD) -ldflags '$(LDFLAGS)' -o $(PROGRAM) ./cmd/nexus

$(SLIM): go.mod go.sum $(wildcard deploy/release/slim/*.go)
	@$(GO) run ./deploy/release/slim $(dir $(SLIM)) >/dev/null

static: $(SLIM) ## build bin/nexus without cgo and symbols: one file that runs anywhere, but cannot read NVIDIA GPUs
	@CGO_ENABLED=0 $(GO) $(BUILD) -ldflags '-s -w $(LDFLAGS)' -o $(PROGRAM) ./cmd/nexus

stripped: $(SLIM) ## build bin/nexus with cgo (NVML) and without symbols
	@CGO_ENABLED=1 $(GO) $(BUILD) -ldflags '-s -w $(LDFLAGS)' -o $(PROGRAM) ./cmd/nexus

test: needs ## run every test
	NEXUS_TEST_VERSITYGW="$$($(S3_SERVER))" NEXUS_TEST_PEBBLE="$$($(ACME_SERVER))" $(GO) test -timeout 30m ./...

race: needs ## run the tests under the race detector (needs gcc)
	NEXUS_TEST_VERSITYGW="$$($(S3_SERVER))" NEXUS_TEST_PEBBLE="$$($(ACME_SERVER))" CGO_ENABLED=1 $(GO) test -race -short -timeout 40m $(RACE_PACKAGES)

race-program: needs ## run the tests of the whole program on one that was built with the race detector
	NEXUS_TEST_BUILD=-race GORACE=halt_on_error=1 NEXUS_TEST_VERSITYGW="$$($(S3_SERVER))" NEXUS_TEST_PEBBLE="$$($(ACME_SERVER))" $(GO) test -short -timeout 60m -skip TestHotSwaps ./cmd/nexus

needs: # the programs that tests run; without them some would be skipped
	@missing=; for p in $(NEEDS); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	  test -z "$$missing" || { echo "not on PATH:$$missing. The Debian packages redis-server, redis-tools, prometheus, chromium and jq have them; .ci/run installs them"; exit 1; }
	@$(S3_SERVER) >/dev/null
	@$(ACME_SERVER) >/dev/null

lint: ## vet, golangci-lint (formatting, import rules), functions that nothing reaches
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...
	@dead="$$($(TOOL) deadcode -test ./... | grep -v -e '^model/' -e '^client/')"; test -z "$$dead" || { echo "$$dead"; exit 1; }

fmt: ## format the code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

base: build ## pretrain the bases that come with the program; NEXUS_BASE_DATA names the folder with the text, NEXUS_BASE_TEACHER that with the vectors
	@test -n "$(NEXUS_BASE_DATA)" -a -n "$(NEXUS_BASE_TEACHER)" || { echo "set NEXUS_BASE_DATA to the folder that holds the text and NEXUS_BASE_TEACHER to that with the vectors, see docs/architecture/base.md"; exit 2; }
	NEXUS_MODEL_SIZE=small ./bin/nexus pretrain $(NEXUS_BASE_DATA) -o model/base/small.nxb --steps 3200 --teacher $(NEXUS_BASE_TEACHER)/260000/bge-small-en-v1.5.f32
	NEXUS_MODEL_SIZE=base ./bin/nexus pretrain $(NEXUS_BASE_DATA) -o model/base/base.nxb --steps 4000 --teacher $(NEXUS_BASE_TEACHER)/416624/bge-small-en-v1.5.f32

calibration: ## learn the default calibration anew, after each new base; NEXUS_BENCH_DATA names the folder with clinc150/, hwu64/ and base/
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/, hwu64/ and base/"; exit 2; }
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) $(GO) test ./model -run TestCampaign -campaign.write $(CURDIR)/model/gate/default.bin -campaign.leave -v -timeout 60m

calibration-both: ## learn the default calibration for two encoders anew, with all-MiniLM-L6-v2 as a process; NEXUS_BENCH_DATA as for calibration
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/ and hwu64/"; exit 2; }
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) internal/bench/embeddings/run.sh $(GO) test ./model -run TestCampaignBoth -campaign.both $(CURDIR)/model/gate/both.bin -v -timeout 120m

bench: build ## measure the running system and print a table
	$(GO) run ./internal/bench

bench-once: ## run every Go benchmark once, so that none rots
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./...

bench-model: ## measure the model; NEXUS_BENCH_DATA names the folder with clinc150/
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/"; exit 2; }
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) $(GO) test ./model -run '^$$' -bench 'CLINC150' -benchtime 1x -timeout 120m -clinc.seeds $(SEEDS)
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) $(GO) test ./model/... -run '^$$' -bench 'Continual|Untrained|FewLessons|Paraphrase|Solver|Iteration' -benchtime 1x -timeout 120m
	$(GO) test ./model -run '^$$' -bench 'Job$$' -benchtime 1x -timeout 60m -v -cost.known 50000
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) $(GO) test ./model/learn -run '^$$' -bench 'CLINC/(five|ten|full)/(flowing|mean)/(small|base)' -benchtime 1x -timeout 120m -clinc.base -clinc.seeds $(SEEDS)

bench-people: build ## measure how many prompts are answered right and wrong, over many deployments; NEXUS_BENCH_DATA names the folder with clinc150/ and hwu64/
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/ and hwu64/"; exit 2; }
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) $(GO) run ./internal/bench/people $(PEOPLE)

bench-bots: ## the same for public chat bots, one draw after another in this process; NEXUS_BENCH_DATA names the folder with bots/, which internal/bench/people/bots.py fills
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds bots/; python3 internal/bench/people/bots.py FOLDER/bots fills it"; exit 2; }
	$(GO) test ./model -run TestBots -campaign.bots $(NEXUS_BENCH_DATA)/bots -v -timeout 60m

bench-embeddings: ## measure what an embedding server adds, with all-MiniLM-L6-v2 as a process; NEXUS_BENCH_DATA names the folder with clinc150/ and hwu64/
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/ and hwu64/"; exit 2; }
	NEXUS_BENCH_DATA=$(NEXUS_BENCH_DATA) internal/bench/embeddings/run.sh $(GO) test ./model -run '^$$' -bench Embeddings -benchtime 1x -timeout 120m -v -clinc.seeds $(SEEDS)

bench-torch: ## set training and one prompt beside PyTorch on one core (needs python3-torch and libopenblas0, for this only)
	@test -n "$(NEXUS_BENCH_DATA)" || { echo "set NEXUS_BENCH_DATA to the folder that holds clinc150/"; exit 2; }
	/usr/bin/python3 internal/bench/torch/compare.py $(NEXUS_BENCH_DATA)

bench-jobs: build ## measure fleets of API and worker processes, against asynq alone and a plain list
	$(GO) run ./internal/bench -jobs
	$(GO) run ./internal/bench -only async

.PHONY: passed
passed: ## count the files that one prompt and one lesson pass
	$(GO) run ./internal/bench/passed

.PHONY: bench-dashboards
bench-dashboards: build ## measure 200 open dashboards and the first paint (needs chromium)
	$(GO) run ./internal/bench -only dashboards

.PHONY: bench-rolling
bench-rolling: build ## restart APIs behind nginx under load and count what failed (needs nginx)
	$(GO) run ./internal/bench -only rolling

.PHONY: gpu-check
gpu-check: ## check and measure the machine's NVIDIA GPU; bin/gpu-check alone does it on a machine without Go
	CGO_ENABLED=1 $(GO) build -trimpath -o bin/gpu-check ./internal/bench/gpu
	./bin/gpu-check

bench-checkpoints: ## measure save, load and upload against cp and sha256sum 
	$(GO) test ./storage ./storage/s3 -run '^$$' -bench 'Save|Load|Upload' -benchtime 5x -timeout 30m

swaps: ## swap the model SWAPS times under traffic: no failed request, no growth of memory
	$(GO) test ./cmd/nexus -run TestHotSwaps -v -hotswaps $(SWAPS) -timeout 60m

kills: ## kill processes that save, upload and collect garbage in a real S3 server KILLS times
	$(GO) test ./storage/mirror -run TestKilledOverABucket -v -mirror.kills $(KILLS) -timeout 60m

truncate: ## cut the parts of a real model's checkpoint at every byte, and load each time
	$(GO) test ./worker -run TestEveryTruncation -v -truncate.every 1 -timeout 60m

bench-strain: build ## measure what callers notice of training and of overload
	$(GO) run ./internal/bench -only strain

bench-retention: build ## measure what a million prompts leave in Redis (needs redis-server)
	$(GO) run ./internal/bench -only retention

chaos: ## kill, pause, cut and fill what the program stands on, in the long form
	$(GO) test ./internal/chaos -timeout 120m -v -chaos.long

.PHONY: mutations
mutations: ## make eight changes that would lose something for a user, one at a time, and expect a test to notice each
	.ci/mutations

sim: ## 100 000 random schedules of what may befall a job
	$(GO) test ./queue -run TestSimulation -timeout 120m -v -sim.schedules 100000

contract: build ## try the running server against openapi.yaml with made-up requests (needs python3; installs schemathesis)
	.ci/contract

fuzz: ## run each fuzz target of FUZZ_PACKAGES for FUZZTIME, one on each core at a time
	GO=$(GO) .ci/fuzz $(FUZZTIME) $(FUZZ_PACKAGES)

clients: ## generate the TypeScript and Python clients into dist/clients (needs Node 20, npm and Python 3.10)
	deploy/clients/generate.sh

test-clients: build ## generate the clients and try them against a server
	deploy/clients/test.sh

reference: ## fetch the renderer of /docs into api/static/reference (needs Node 20 and npm)
	node api/reference/build.mjs

dashboard: ## build api/static/dist from api/dashboard (needs Node 20 and npm)
	cd api/dashboard && npm ci --no-audit --no-fund && npm run build

pictures: ## take the pictures of the docs anew (needs chromium)
	$(GO) test ./api -run 'TestPictures$$' -count 1 -pictures $(CURDIR)/docs

generate: ## make the generated code anew
	$(GO) generate ./...

vuln: ## look for known vulnerabilities (needs their database)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

image: ## build the container image
	docker build -t nexus-continuum:latest --build-arg VERSION="$(VERSION)" .

release: ## make archives, deb, rpm, SBOM and checksums in dist/VERSION (needs envsubst)
	VERSION="$(VERSION)" deploy/release/release.sh

runbook: stripped ## type the runbook in a Debian booted by systemd (root, debootstrap, systemd-container)
	deploy/runbook/boot.sh

runbook-docker: ## type the Docker half of the runbook (needs an engine, docker-compose and the image)
	deploy/runbook/docker.sh

.PHONY: fresh
fresh: ## measure make run as on a machine that has nothing but git and Go; TEST=yes measures make test too
	deploy/release/fresh.sh

.PHONY: reproduce
reproduce: ## make a release twice and compare every byte
	deploy/release/reproduce.sh

.PHONY: kubeconform
kubeconform: ## hold what the Helm chart renders against the schemas of Kubernetes, KEDA and the Prometheus operator
	deploy/helm/conform.sh

.PHONY: upgrade
FROM ?= HEAD~1
upgrade: ## upgrade from the revision FROM to this one and back, on data that FROM made
	deploy/release/upgrade.sh $(FROM)

.PHONY: size
size: $(SLIM) ## say what the delivered program consists of (needs binutils)
	deploy/release/size.sh

clean: ## remove what was built
	rm -rf bin dist coverage.out
