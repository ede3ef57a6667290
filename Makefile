GO ?= go
FUZZTIME ?= 10s

# Packages whose tests hold kernel tests, fuzz targets or golden files, found by what stands in them.
holding = $(sort $(dir $(shell grep -rlE $(1) --include='*_test.go' . 2>/dev/null)))

.PHONY: build test lint fuzz kernel-test golden demo bench

build:
	$(GO) build -o bin/svclab ./cmd/svclab

# Needs no root and no network.
test:
	$(GO) test -timeout 10m -skip '^TestKernel' $(TESTFLAGS) ./...

lint:
	@test -z "$$(gofmt -l cmd datapath sim web | tee /dev/stderr)"
	$(GO) vet ./...

fuzz:
	@set -e; for dir in $(call holding,'^func Fuzz'); do \
	  for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' $$dir | sed 's/^func //' | sort -u); do \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) ./$$dir; done; done

# A real kernel: needs Linux with user namespaces, or root.
kernel-test:
	SVCLAB_KERNEL_TESTS=1 $(GO) test -count=1 -timeout 15m -run '^TestKernel' -v $(call holding,'^func TestKernel') </dev/null

golden:
	$(GO) test -count=1 $(call holding,'datadriven.RunTest') -rewrite
	$(GO) test -count=1 ./cmd/svclab -run '^TestScript' -update

demo:
	@$(GO) run ./cmd/svclab demo

bench:
	$(GO) test -run '^$$' -bench . -benchmem $(call holding,'^func Benchmark')
