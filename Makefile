# "make check" is everything that must pass; the parts can be run on their own.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Where the command must build: 386 stands for all machines of 32 bits. "make check" has
# the other systems, one of them with 32 bits.
PLATFORMS = linux/amd64 linux/arm64 linux/386 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
CROSS = darwin/arm64 windows/386

FUZZTIME = 10m
SOAKTIME = 10m
MODELTIME = 1h

# Of the bucket that "make lake" rotates: how many objects, and the bytes of one more,
# how many workers, how often it kills one, and how many requests the store refuses.
LAKE_OBJECTS = 20000
LAKE_BIG = 1073741824
LAKE_WORKERS = 3
LAKE_KILLS = 10s
LAKE_REFUSED = 600

# What go.work uses.
MODULES = . cmd/esdk interop bench lake otel examples release

# The tag leaves a tracing page of gRPC out, which would have the linker keep all
# methods of everything, and the command be twice as large. Symbols and debugging
# tables are left out as well.
BUILD = go build -C cmd/esdk -trimpath -ldflags '-s -w' -tags grpcnotrace

.PHONY: check build build-full test missing format tidy tidied vet staticcheck race race-short race-whole model-minute model machine32 machine32-all fips fips-certified cross cross-all vulnerabilities benchtest wycheproof matrix interop compat backends objects audit-lake completions mutations mutants crash soak fuzz bench release release-test publish-test oldest performance vectors pkcs11 softhsm vault scale spark lake lake-short examples voice wrap

# Everything that must pass, in this order. The go command keeps the results of tests, and
# doesn't notice if a test reads a document outside of its module. So tests of documents
# run with -count=1.
CHECKS = format voice tidied vet cross staticcheck race model-minute machine32 fips vulnerabilities benchtest wycheproof \
	matrix backends objects lake-short examples softhsm

check:
	@took=""; for part in $(CHECKS); do \
		begun=$$(date +%s); \
		$(MAKE) --no-print-directory $$part || { echo "FAILED: make $$part"; exit 1; }; \
		took="$$took $$part $$(($$(date +%s) - begun)) s,"; \
	done; echo "took:$${took%,}"

build:
	CGO_ENABLED=0 $(BUILD) -o ../../bin/esdk .

# With other clouds, and keys in tokens, which need a C compiler.
build-full:
	CGO_ENABLED=1 $(BUILD),full -o ../../bin/esdk-full .

test: missing
	go test -count=1 ./... ./cmd/esdk/... ./lake/... ./otel/... ./examples/... ./release/...

# "go test" is silent about tests that are skipped.
missing:
	@test -d "$${ESDK_VECTORS:-../shared/vectors}" || echo "NOT RUN: the official test vectors, since $${ESDK_VECTORS:-../shared/vectors} is missing; see CONTRIBUTING.md"
	@echo "NOT RUN here: rotations on Temporal; \"make lake\" does that"
	@test -n "$$ESDK_PKCS11_MODULE" || echo "NOT RUN here: pkcs11 on real tokens, only on a simulated one; \"make pkcs11\" does that"

format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted:" $$files; exit 1; fi

# How the text reads, by rules that can be counted; CONTRIBUTING.md has all of them.
# A link to no file or heading is an error.
# "make wrap" wraps lines that are too wide.
voice:
	cd interop && go run ./voice -limit 2.5 ..
wrap:
	cd interop && go run ./voice -wrap ..

# "go mod tidy" for each module. It takes no notice of go.work, and would look the
# library and the command up, so it's told where they are. In a published tree,
# go.sum has hashes of the modules of the tree, too, which this doesn't need.
# "go list -m all", which "go doc" runs, adds to go.work.sum the hashes of the
# whole module graph.
MODULE := $(shell sed -n 's/^module //p' go.mod)
HERE = -replace $(MODULE)=$(CURDIR) -replace $(MODULE)/cmd/esdk=$(CURDIR)/cmd/esdk
COPY = cp go.mod tidied.mod; sed '\,^$(MODULE)[ /],d' go.sum >tidied.sum; go mod edit $(HERE) tidied.mod
tidy:
	@set -e; for module in $(MODULES); do \
		cd $(CURDIR)/$$module; $(COPY); \
		GOWORK=off go mod tidy -modfile=tidied.mod; \
		go mod edit -dropreplace $(MODULE) -dropreplace $(MODULE)/cmd/esdk tidied.mod; \
		mv tidied.mod go.mod; mv tidied.sum go.sum; \
	done
	go list -m all >/dev/null

# That "make tidy" would change nothing.
tidied:
	@set -e; for module in $(MODULES); do \
		cd $(CURDIR)/$$module; $(COPY); \
		GOWORK=off go mod tidy -diff -modfile=tidied.mod || { echo "$$module: run \"make tidy\""; rm tidied.*; exit 1; }; \
		rm tidied.mod tidied.sum; \
	done; \
	cd $(CURDIR); cp go.work.sum tidied.sum; go list -m all >/dev/null; \
	cmp -s go.work.sum tidied.sum || { mv tidied.sum go.work.sum; echo 'go.work.sum: run "make tidy"'; exit 1; }; \
	rm tidied.sum

# Of all modules, and of the command with each of its build tags.
vet:
	set -e; for module in $(MODULES); do (cd $$module && go vet ./...); done
	cd cmd/esdk && go vet -tags full ./... && go vet -tags pkcs11 ./... && go vet -tags man ./...

staticcheck:
	set -e; for module in $(MODULES); do (cd $$module && go run $(STATICCHECK) ./...); done
	cd cmd/esdk && go run $(STATICCHECK) -tags full,man ./...

# The detector slows some tests ten times, so it sees no long cases, no vectors, which are
# read one at a time, and of the command's main package only runs over many inputs. "make
# fips" runs all tests without it. While some tests wait, others run.
RACED = KMSScripts/^(again|audit|calls|tree)$$|Scripts/^(cache|command|inventory|jobs|list|reencrypt|report|shard|tree)$$

race: missing
	@$(MAKE) --no-print-directory -j2 -O race-short race-whole

race-short:
	packages=$$(go list ./... ./cmd/esdk/bulk/... ./cmd/esdk/internal/... ./lake/... ./otel/...) && \
		go test -count=1 -race -short -timeout 30m $$(echo "$$packages" | grep -Ev '/internal/(stream|suite|vectors)$$')

race-whole:
	go test -race -timeout 30m ./internal/stream
	go test -race -timeout 30m -run '^TestSoak$$' ./branchkey
	cd cmd/esdk && go test -race -short -timeout 30m -run '$(RACED)' .
	cd cmd/esdk && go test -tags full -run 'Full|Service' .

# The library on a 32-bit machine, where a length of the format may be no int. The
# race detector has none. Of the root package and the command, only what deals with
# lengths: without assembly for 386, keys take minutes. machine32-all runs the rest.
machine32:
	packages=$$(go list ./internal/...) && \
		GOARCH=386 CGO_ENABLED=0 go test -short -timeout 30m $$(echo "$$packages" | grep -v internal/vectors)
	GOARCH=386 CGO_ENABLED=0 go test -short -timeout 30m -run 'Length|Limit|Long|Malformed|ReaderAt|Overlap|Stalled|Claim|Counts|Parse' .
	cd cmd/esdk && GOARCH=386 CGO_ENABLED=0 go test ./internal/cli

machine32-all:
	GOARCH=386 CGO_ENABLED=0 go test -short -timeout 2h . ./internal/...
	cd cmd/esdk && GOARCH=386 CGO_ENABLED=0 go test ./internal/cli

# The same tests with the FIPS 140-3 module of the standard library; TestFIPS140Only
# has what fips140=only refuses.
fips:
	GODEBUG=fips140=on go test -count=1 -p 3 -timeout 30m ./cmd/esdk/... ./...

# And with the frozen module that esdk-fips of a release has.
fips-certified:
	GOFIPS140=certified go test -short -timeout 1h ./...
	cd cmd/esdk && GOFIPS140=certified go test -short -timeout 1h ./...

# Types tell what doesn't build elsewhere, and code that isn't optimized takes less time.
cross:
	@for p in $(CROSS); do \
		echo "vetting for $$p"; \
		for module in . cmd/esdk; do \
			(cd $$module && GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go vet -gcflags=all='-N -l' ./...) || exit 1; \
		done; \
	done

cross-all:
	@$(MAKE) cross CROSS="$(PLATFORMS)"

# The database of vulnerabilities may be out of reach, which is no fault of the
# code; it is said, and anything else fails.
vulnerabilities:
	@for module in . cmd/esdk; do \
		out=$$(cd $$module && go run $(GOVULNCHECK) ./... 2>&1); status=$$?; echo "$$out"; \
		case "$$out" in \
		*"fetching vulnerabilities:"*) echo "NOT CHECKED for vulnerabilities: the database is out of reach" ;; \
		*) [ $$status = 0 ] || exit $$status ;; \
		esac; \
	done

# The vectors of Project Wycheproof, from the Go module proxy.
wycheproof:
	cd interop && go test ./wycheproof

# A share of the matrix, which changes nothing: with the SDKs that are quick to install.
matrix:
	interop/matrix/run.sh -peers python,javascript,go -share 6 -seed 1
	cd interop && go test ./differential ./hpke ./keyservice ./migrating

# Messages and key stores both ways with all official SDKs, from their registries,
# and with C if ESDK_C_PREFIX is set; writes docs/compatibility.md.
interop:
	interop/matrix/run.sh -write "$(CURDIR)/docs/compatibility.md"
	cd interop && go test ./differential -forged 100000
	cd interop && go test ./hpke ./keyservice
	interop/compat/run.sh

# The front-end beside the program whose arguments it takes, on the same scripts.
compat:
	interop/compat/run.sh

# What simulators stand in for elsewhere, on real servers, from their registries.
backends:
	interop/backends/test.sh

# The command with objects as inputs and outputs, on servers that speak as S3, Google's
# and Azure's stores do.
objects:
	interop/backends/clouds-test.sh

# What "esdk audit" finds in a bucket of known messages, and what that costs.
AUDITOBJECTS = 100000
audit-lake:
	interop/backends/auditlake.sh -objects $(AUDITOBJECTS)

# Rotations on Temporal with SeaweedFS: a short one, and a long one beside all else.
lake-short:
	interop/backends/lake-test.sh -run '^TestRotation$$' -lake-objects 600
lake:
	interop/backends/lake-test.sh -lake-objects $(LAKE_OBJECTS) -lake-longest 65536 -lake-big $(LAKE_BIG) \
		-lake-workers $(LAKE_WORKERS) -lake-kills $(LAKE_KILLS) -lake-refused $(LAKE_REFUSED)

# The recipes of examples, each on the server that it is for.
examples:
	examples/run.sh all

# The keyring of package keyservice and the command on Vault's transit engine, which takes minutes to build.
vault:
	interop/backends/vault-test.sh

# The keyrings of PKCS #11, and the command with them, on a token, and on two: the
# second is compiled, and wants libraries of OpenSSL and Clang.
softhsm:
	interop/backends/pkcs11.sh softhsm
pkcs11:
	interop/backends/pkcs11.sh

# The examples of docs/scale.md, on servers from their registries and a cluster of Spark, which takes minutes.
scale:
	interop/scale/test.sh
spark:
	interop/scale/test.sh -v -run '^TestSpark'

# Random programs over the public API, held to the bytes that went in: for a minute,
# and for MODELTIME. The properties share the time.
model-minute:
	go test -timeout 30m -p 1 -run '^TestModel' -v . ./caching -model 1m
model:
	go test -timeout 48h -p 1 -run '^TestModel' -v . ./caching -model $(MODELTIME)

# The completion on a terminal in all shells that it is for, which must be installed.
completions:
	cd cmd/esdk && ESDK_SHELLS="bash zsh fish" go test -run '^TestCompletion$$' -v .

# A million messages that are put together from others.
mutations:
	go test -timeout 2h -run '^TestMutations$$' -v . -mutations 1000000

# The code changed an operator at a time, in a copy: the tests must notice.
# PACKAGES='hpke root' is a part of it.
mutants:
	cd interop && go run ./mutants $(PACKAGES)

# The command killed a thousand times.
crash:
	cd cmd/esdk && go test -timeout 2h -run '^TestCrash$$' -v . -crashes 1000

# One of everything under 200 goroutines, for SOAKTIME.
soak:
	go test -race -timeout 24h -run '^TestSoak$$' -v ./branchkey -soak $(SOAKTIME)

# Each fuzz target for FUZZTIME; those of interop have the official Go SDK beside.
fuzz:
	@set -e; for dir in $$(grep -l '^func Fuzz' -r --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$dir/*_test.go | cut -d' ' -f2); do \
			echo "$$dir $$target"; \
			(cd $$dir && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
		done; \
	done

# In turns with what the machine could do at best.
bench:
	go test -run '^$$' -bench 'Target|Scaling' -benchtime 20x .
	go test -run '^$$' -bench 'Limit|Message' .

# That the programs which measure work; bench/run.sh and "make mutants" measure.
benchtest:
	cd bench && go test -count=1 ./...
	cd interop && go test -count=1 ./mutants ./voice && go test -count=1 -run 'Docs|Kubernetes|Length' ./scale

# Archives for all platforms, with manual pages, completions and SBOMs, in dist.
release:
	release/build.sh

# That what "make release" makes is the same each time, and what it should be.
release-test:
	release/test.sh

# The tree under a stand-in for its real module path, in two versions, through a module proxy.
publish-test:
	release/publish-test.sh

# The modules that others use, with exactly the version of Go that go.mod demands.
oldest:
	release/oldest.sh

# docs/performance.md, beside the official SDKs and others.
performance:
	bench/run.sh

# The vectors of testdata/official, made anew by the official SDKs.
vectors:
	interop/official/generate.sh
