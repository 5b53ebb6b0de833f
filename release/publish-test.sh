#!/usr/bin/env bash
# Publishes several versions of the committed tree under a stand-in for the real
# module path, and uses them as others do: with an empty GOPATH, through a
# module proxy made of files, and from the repository by the go command alone.
# Uncommitted changes aren't tested. Needs the module proxy for all other
# modules, and git 2.32 or later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset $(git rev-parse --local-env-vars)

module=example.org/esdk
versioned=". cmd/esdk lake otel" # ordered as in release/internal/modules
first=v0.1.0

fail() { echo "publish-test.sh: $*" >&2; exit 1; }
say() { echo "== $SECONDS s: $*"; }

[ -z "$(git status --porcelain)" ] || echo "publish-test.sh: changes that are not committed are not tested" >&2
t=$(mktemp -d)
trap 'chmod -R u+w "$t"; rm -rf "$t"' EXIT
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.org GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.org
git clone -q . "$t/source"
GOWORK=off go build -C "$t/source/release" -o "$t/bin/" ./publish ./modproxy

# publish [OPTION]... MODULE VERSION DIR: publishes $t/source without running
# "go vet", which runs once, at the end.
publish() { "$t/source/release/publish.sh" -vet=false "$@" >"$t/out" 2>"$t/says" || fail "publish $*: $(cat "$t/says")"; }

# refused TEXT [OPTION]... MODULE VERSION: expects an error with TEXT, and no
# files in $t/refused.
refused() {
  local text=$1
  shift
  echo "$text"
  ! "$t/source/release/publish.sh" -vet=false "$@" "$t/refused" >"$t/out" 2>"$t/says" || fail "publish $*: it isn't refused"
  grep -qF -- "$text" "$t/says" || fail "publish $*: $(cat "$t/says")"
  [ -z "$(ls -A "$t/refused" 2>/dev/null)" ] || fail "publish $*: something is left"
}

# release VERSION...: adds sections to the change log and commits all changes.
release() {
  for version in "$@"; do printf '\n## %s\n\n- A rehearsal.\n' "${version#v}" >>"$t/source/CHANGELOG.md"; done
  git -C "$t/source" add -A
  git -C "$t/source" commit -q -m "release: rehearse $*"
}

say "what is refused"
refused 'missing dot in first path element' esdk $first
refused 'without a major version' $module/v2 $first
refused 'invalid char' "example.org/es dk" $first
refused 'use vX.Y.Z' $module 0.1.0
refused 'use v0.1.0' $module v0.1
refused 'module paths end in the major version' $module v2.0.0
refused 'no section for 0.77.0' $module v0.77.0
touch "$t/source/new"
refused "changes that aren't committed" $module $first
rm "$t/source/new"
mkdir "$t/full"
touch "$t/full/kept"
! "$t/source/release/publish.sh" $module $first "$t/full" 2>"$t/says" || fail "a directory that isn't empty is taken"
grep -q "isn't empty" "$t/says" || fail "$(cat "$t/says")"
[ "$(ls -A "$t/full")" = kept ] || fail "the directory was changed"

say "what is interrupted"
"$t/source/release/publish.sh" $module $first "$t/ended" >"$t/out" 2>"$t/says" &
until grep -q vetting "$t/says" || ! kill -0 $!; do sleep 1; done
kill $!
! wait $! || fail "an interrupted publication succeeds"
[ "$(tail -n 1 "$t/says")" = "publish: interrupted" ] || fail "$(cat "$t/says")"
[ ! -e "$t/ended" ] || fail "an interrupted publication leaves $t/ended"

say "the first version"
publish $module $first "$t/one"
grep 'zip file' "$t/says"
[ "$(git -C "$t/one" tag --list | tr '\n' ' ')" = "cmd/esdk/$first lake/$first otel/$first $first " ] || fail "tags: $(git -C "$t/one" tag --list)"
[ -z "$(git -C "$t/one" status --porcelain --ignored)" ] || fail "the tree isn't clean: $(git -C "$t/one" status --porcelain --ignored)"
git -C "$t/one" merge-base --is-ancestor "$(git -C "$t/source" rev-parse HEAD)" HEAD || fail "the history of the source is missing"
[ "$(git -C "$t/one" show HEAD^:go.mod)" = "$(cat go.mod)" ] || fail "an earlier commit has other paths"

"$t/bin/modproxy" "$t/one" "$t/proxy"
proxy=$(go env GOPROXY) downloaded=file://$(go env GOMODCACHE)/cache/download
export GOPROXY=file://$t/proxy,$downloaded,$proxy GONOSUMDB=example.org GOWORK=off

# With these, packages of an earlier run are reused: otherwise their paths in
# the module cache, which is new, are compiled into them.
export GOFLAGS=-trimpath CGO_ENABLED=0

# fresh NAME: makes an empty GOPATH.
fresh() { mkdir "$t/$1"; export GOPATH=$t/$1 GOMODCACHE=$t/$1/pkg/mod GOBIN=; }

# new NAME: makes an empty module and enters its directory.
new() { mkdir "$t/$1" && cd "$t/$1" && go mod init "example.org/$1" 2>/dev/null; }

# required: prints the requirements in go.mod. used: prints the modules of the
# used packages.
required() { go mod edit -json | python3 -c 'import json, sys
for r in json.load(sys.stdin).get("Require") or []: print(r["Path"], r["Version"], "indirect" if r.get("Indirect") else "direct")'; }
used() { go list -deps -f '{{with .Module}}{{.Path}}{{end}}' ./... | sort -u | grep -v "^$(go list -m)\$" || true; }

say "(a) the command, by go install"
fresh install
go install -tags grpcnotrace $module/cmd/esdk@$first 2>"$t/says" || fail "$(cat "$t/says")"
esdk=$GOPATH/bin/esdk
[[ "$("$esdk" version)" == "esdk $first (go"* ]] || fail "its version is $("$esdk" version)"
echo "$("$esdk" version), $(wc -c <"$esdk") bytes"
mkdir "$t/home"
(
  cd "$t/home"
  export HOME=$t/home XDG_CONFIG_HOME=$t/home/config
  echo hello >f
  "$esdk" keygen aes -q -o key
  for key in aes:n/k@key local; do
    "$esdk" encrypt -q -k "$key" -c a=b -o message f
    "$esdk" decrypt -q -k "$key" -c a=b -o back message
    cmp f back
    rm message back
  done
)

say "(b) the library, by go get, and README's program"
fresh get
new notes
go get $module@$first 2>"$t/says" || fail "$(cat "$t/says")"
mkdir cmd
awk '/^```go$/ && !seen { inside = seen = 1; next } /^```$/ { inside = 0 } inside' "$t/one/README.md" >"$t/block"
grep -q "^import \"$module\"\$" "$t/block" || fail "README's first block of Go doesn't import the library: $(cat "$t/block")"
{
  printf 'package main\n\nimport (\n"bytes"\n"context"\n"crypto/rand"\n"fmt"\n)\n'
  grep '^import' "$t/block"
  printf 'func main() {\nctx, key, plaintext := context.Background(), make([]byte, 32), []byte("a note")\nrand.Read(key)\n'
  grep -v '^import' "$t/block"
  printf 'if err != nil || !bytes.Equal(again, plaintext) { panic(err) }\nfmt.Printf("%%s\\n", again)\n}\n'
} >cmd/main.go
printf 'package notes\n\nimport "%s"\n\nfunc Limits(c esdk.Config) bool { return c.MaxEncryptedDataKeys > 0 }\n' $module >notes.go
[ "$(go run ./cmd)" = "a note" ] || fail "README's program prints: $(go run ./cmd 2>&1)"
go mod tidy 2>"$t/says" || fail "$(cat "$t/says")"
[ "$(required)" = "$module $first direct" ] || fail "go.mod requires: $(required)"
[ "$(used)" = "$module" ] || fail "the packages are of: $(used)"
zips=$(cd "$GOMODCACHE/cache/download" && find . -name '*.zip' ! -path './golang.org/toolchain/*' | sort)
echo "go.mod requires: $(required); the modules of its packages: $(used | wc -l)"
echo "modules downloaded, with the tests of the library for go mod tidy: $(wc -l <<<"$zips"); lines of go.sum: $(wc -l <go.sum)"
go build ./... && go list -m all >"$t/all"
echo "modules of the graph: $(wc -l <"$t/all")"

say "the same, built with only the library in the module cache"
rm go.sum
fresh only
GOFLAGS="-trimpath -mod=mod" GOPROXY=file://$t/proxy go build ./... 2>"$t/says" || fail "it needs another module: $(cat "$t/says")"
zips=$(cd "$GOMODCACHE/cache/download" && find . -name '*.zip')
[ "$(wc -l <<<"$zips")" = 1 ] || fail "it downloads $zips"
echo "downloads: $zips; go.sum: $(wc -l <go.sum) lines"

say "with awskms"
mkdir kms
printf 'package kms\n\nimport "%s/awskms"\n\nvar New = awskms.NewKeyring\n' $module >kms/kms.go
go mod tidy 2>"$t/says" && go build ./... || fail "$(cat "$t/says")"
[ "$(required | grep -c ' direct$')" = 1 ] || fail "it requires $(required)"
echo "go.mod requires: 1 directly, $(required | grep -c ' indirect$') indirectly; the modules of its packages: $(used | wc -l)"
rm -r kms
go mod tidy 2>/dev/null
[ "$(required)" = "$module $first direct" ] || fail "go.mod keeps: $(required)"

say "(c) a module that requires that one"
git init -q . && git add -A && git commit -q -m "notes: begin" && git tag v1.0.0
"$t/bin/modproxy" . "$t/proxy"
new app
printf 'package main\n\nimport "example.org/notes"\n\nfunc main() { var _ = notes.Limits }\n' >main.go
go get example.org/notes@v1.0.0 2>"$t/says" && go mod tidy 2>>"$t/says" && go build ./... || fail "$(cat "$t/says")"
echo "go.mod requires: $(required | tr '\n' ';')"

say "the modules lake and otel"
new others
printf 'package others\n\nimport (\n_ "%s/lake"\n_ "%s/otel"\n_ "%s/cmd/esdk/bulk"\n)\n' $module $module $module >others.go
go get $module/lake@$first $module/otel@$first $module/cmd/esdk@$first 2>"$t/says" && go mod tidy 2>>"$t/says" && go build ./... || fail "$(cat "$t/says")"
go install $module/lake/cmd/esdk-lake@$first 2>"$t/says" || fail "$(cat "$t/says")"
"$GOPATH/bin/esdk-lake" --help | grep -q rotat || fail "esdk-lake doesn't help"
go version -m "$GOPATH/bin/esdk-lake" | grep -P "mod\t$module/lake\t$first" || fail "esdk-lake is of another version"

say "the published modules alone, without go.work, with the hashes in their go.sum"
for dir in $versioned; do
  (cd "$t/one/$dir" && go list -mod=readonly -deps -test ./... >/dev/null && go mod verify >/dev/null) || fail "$dir: go.sum is wrong"
done

say "what the go command makes of the tags by itself"
direct=example.org/esdk.git
publish $direct $first "$t/direct"
"$t/bin/modproxy" "$t/direct" "$t/direct-proxy"
for dir in $versioned; do names+=("$(sed -n 's/^module //p' "$t/direct/$dir/go.mod")@$first"); done
cd "$t"
fresh by-tags
sums() { go mod download -json "${names[@]}" | grep -E '"(Path|Sum|GoModSum)":' | tr -d ' ,\t'; }
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=url.file://$t/direct.insteadOf GIT_CONFIG_VALUE_0=https://example.org/esdk \
  GOPROXY=direct sums >"$t/by-tags.sums"
fresh by-proxy
GOPROXY=file://$t/direct-proxy sums | diff "$t/by-tags.sums" - || fail "the go command makes other zip files"
echo "the same hashes of $(grep -c '"Sum"' "$t/by-tags.sums") modules"

say "the same again makes the same commit, and passes go vet"
unset GOWORK GOPATH GOMODCACHE GOBIN GOFLAGS CGO_ENABLED
"$t/source/release/publish.sh" $module $first "$t/again" >"$t/out" 2>"$t/says" || fail "$(cat "$t/says")"
[ "$(git -C "$t/one" rev-parse HEAD)" = "$(git -C "$t/again" rev-parse HEAD)" ] || fail "the same source makes another commit"

say "versions of a small tree"
go test -C "$t/source/release" -run '^TestCompatibility$' ./publish -apidiff

say "a second version, with a new function"
printf '\n// Rehearse is new.\nfunc Rehearse() {}\n' >>"$t/source/esdk.go"
release v0.1.1 v0.1.2
publish -after "$t/one" $module v0.1.1 "$t/two"
grep -q 'Rehearse: added' "$t/says" || fail "the change isn't told: $(cat "$t/says")"
refused "isn't later" -after "$t/two" $module $first
refused 'is of module' -after "$t/two" example.org/other v0.1.2
git -C "$t/two" commit -q --allow-empty -m 'a commit of its own'
refused "has commits after v0.1.1" -after "$t/two" $module v0.1.2
git -C "$t/two" reset -q --hard HEAD^

say "versions without it"
git -C "$t/source" revert --no-edit HEAD >/dev/null
release v0.1.1 v0.1.2 v0.2.0
refused 'need a new minor version' -after "$t/two" $module v0.1.2
grep -q 'Rehearse: removed' "$t/says" || fail "the change isn't told: $(cat "$t/says")"
refused 'need a new minor version' -after "$t/two" -incompatible $module v0.1.2
refused 'use -incompatible' -after "$t/two" $module v0.2.0
publish -after "$t/two" -incompatible $module v0.2.0 "$t/three"
for version in $first v0.1.1; do
  git -C "$t/three" merge-base --is-ancestor $version v0.2.0 || fail "$version isn't in the history"
done
"$t/bin/modproxy" "$t/three" "$t/proxy"
(
  export GOWORK=off
  fresh update
  cd "$t/app"
  [ "$(go list -m -versions $module)" = "$module $first v0.1.1 v0.2.0" ] || fail "versions: $(go list -m -versions $module)"
  go get $module@latest 2>"$t/says" && go build ./... || fail "$(cat "$t/says")"
  required | grep -q "^$module v0.2.0 " || fail "go.mod requires $(required)"
)

say "its tests that know of packages, its own publication, and its go.mod files"
(
  cd "$t/one"
  go test -short -run 'Import|Checked|Conformance' .
  go test -C cmd/esdk -run 'TestImportsPointOneWay' .
  go test -C otel ./...
  go test -C interop -run 'TestNames|TestGoBlocks' ./migrating
  make -s voice
  make -s tidied
  release/publish.sh -vet=false $module $first "$t/same" >"$t/out" 2>"$t/says" || fail "$(cat "$t/says")"
  diff -r -x .git . "$t/same" || fail "published again, the tree isn't the same"
)

echo "published, installed, required and refused as it should be"
