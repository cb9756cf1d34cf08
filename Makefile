# sexton: `make` alone says what there is.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PREFIX  ?= /usr/local
LDFLAGS  = -s -w -X sexton.dev/cli.Version=$(VERSION)
INITFLAGS = -s -w -X sexton.dev/pid1/options.Version=$(VERSION)
# Where the programs begin, on the architectures that have it: cmd/sexton/entry_linux.go,
# pid1/entry_linux_*.s.
GOARCH  ?= $(shell $(GO) env GOARCH)
BIN     ?= bin
ENTRY    = $(if $(filter amd64 arm64,$(GOARCH)),-E sexton_entry)
FUZZTIME ?= 5s

.PHONY: help build install demo test lint fuzz bench image baseimage clean test-vm verify-init verify-propagation verify-excerpt verify-reap verify-undo verify-heal verify-runtime verify-stacks
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the binaries, static, in bin/
	CGO_ENABLED=0 GOARCH=$(GOARCH) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -ldflags './cmd/sexton=$(LDFLAGS) $(ENTRY)' -ldflags './cmd/sexton-init=$(INITFLAGS) $(ENTRY)' -o $(BIN)/ ./cmd/...

install: build ## binary, man pages and completion below PREFIX
	install -D -m 0755 bin/sexton $(DESTDIR)$(PREFIX)/bin/sexton
	install -D -m 0755 bin/sexton-init $(DESTDIR)$(PREFIX)/bin/sexton-init
	bin/sexton man $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/sexton completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/sexton
	bin/sexton completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sexton
	bin/sexton completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sexton.fish

demo: build ## make faults, find and explain them, take them down
	scripts/demo.sh

test: ## everything: lint, unit, race, root-only, a private dockerd and containerd
	scripts/install-test-needs.sh
	$(MAKE) lint
	scripts/test.sh

test-vm: ## the tests of scripts/vm/tests-*.txt on Debian's 6.1 and 6.12 kernels, in an emulator
	scripts/vm.sh

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

fuzz: ## every fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

bench: build ## time and memory beside ps, as ratios
	scripts/bench.sh

clean:
	rm -rf bin

image: ## images for docker load and Debian packages of the init, for amd64 and arm64, in bin/
	for arch in amd64 arm64; do \
		$(MAKE) --no-print-directory GOARCH=$$arch BIN=bin/$$arch build && \
		scripts/image.sh "$(VERSION)" $$arch sexton sexton-init && \
		scripts/image.sh "$(VERSION)" $$arch sexton-init && \
		scripts/deb.sh "$(VERSION)" $$arch || exit 1; \
	done

baseimage: build ## a Debian image with sexton-init, cron and syslog for docker load, in bin/
	deploy/baseimage/build.sh "$(VERSION)"

bpf: ## the BPF programs anew, with clang 14
	scripts/bpf.sh

verify-init: ## the long trials of the init in full: 1,000,000 orphans, 100,000 signals, 10,000 starts
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 60m -run 'TestTermAtStart|TestStorm|TestOrphans|TestStarts' ./pid1/blackbox

verify-propagation: ## 40,000 random calls in mount namespaces, each predicted, made and compared
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 30m -run 'TestKernel' ./propagation

verify-excerpt: ## 6,000 random topologies, twelve excerpts of each: no verdict against what the unmount does, none unknown of whole tables
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 30m -run 'TestExcerptTrials' ./cli

verify-reap: ## 10,000 children reaped in processes of every kind, 3,000 signals meanwhile, 200 injectors killed
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 30m -run 'TestTargets|TestSignals|TestKilled|TestParentEnds|TestPausedAmid|TestPrograms|TestMany|TestAnswerOfKernel' ./linux/ptrace

verify-runtime: ## 200 scans of a healthy docker host with 500 containers, starved of processors, 60 execs at once: no false alarm
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 120m -run 'TestRuntimeHealthyUnderLoad' ./internal/e2e

verify-undo: ## 60,000 unmounts while another swaps what is at the path, and only the wanted one goes
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 60m -run 'TestUnmountRaces' ./linux/mounts/undo

verify-heal: ## 5,000 random hosts healed step by step, all mounts compared after each; 5,000 acts while all changes; 600 heals killed
	CGO_ENABLED=0 SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 60m ./internal/harm
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 60m -run 'TestHeal$$/killed|TestActChurnDocker' ./internal/e2e

verify-stacks: ## goroutine dumps of 1 GB each, in less than 200 MB
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 30m -run 'TestStream' ./runtimes/godump/stacks
	SEXTON_VERIFY=full $(GO) test -count=1 -v -timeout 30m -run 'TestStacksLarge' ./internal/e2e
