#!/usr/bin/env bash
# Builds the command for all platforms: build.sh [OUT]. OUT (default dist) gets
# SHA256SUMS, and for each build and platform an archive with the command, its
# manual pages, its completions, the license and the documentation, and a list of
# its modules (SBOM, CycloneDX). The builds are:
#
# - esdk, the default build,
# - esdk-full, which supports other clouds, but is built without cgo and so
#   without PKCS #11 tokens,
# - esdk-fips, the default build with the certified version of Go's FIPS 140-3
#   module, which runs in FIPS 140-3 mode.
#
# The build is reproducible: the same commit and the same version of Go give the
# same bytes. Needs Go and GNU tar and sed. PLATFORMS="linux/amd64 …" limits
# the build to those platforms.
set -euo pipefail

CYCLONEDX=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
MAX_SIZE=22000000 # bytes of the default build

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-dist}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
[ -z "$(git status --porcelain)" ] || { echo "build.sh: there are changes that are not committed" >&2; exit 1; }
module=$(sed -n 's/^module //p' go.mod)
version=$(git describe --tags --match 'v*' --always)
tag=$(git describe --tags --match 'v*' --exact-match 2>/dev/null || true)
epoch=$(git log -1 --format=%ct)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-trimpath GOFIPS140=off LC_ALL=C TZ=UTC
umask 022

go run -C cmd/esdk -tags man . man "$work/man"
go build -C cmd/esdk -o "$work/esdk" .
mkdir "$work/completions" "$work/out" "$work/text"
for shell in bash zsh fish powershell; do "$work/esdk" completion "$shell" >"$work/completions/esdk.$shell"; done
GOBIN=$work/bin go install "$CYCLONEDX"
cp -r LICENSE README.md CHANGELOG.md SECURITY.md docs "$work/text"
# The archive has no sources, so links to them become their text.
find "$work/text" -name '*.md' -exec sed -z -i -E \
  's#\[([^][]*)\]\((\.\./)*(CONTRIBUTING\.md|examples|bench|interop|lake/)[^()]*\)#\1#g' {} +

# pack NAME PROGRAM TAGS [FIPS]: builds the command, with version FIPS of the
# FIPS module, and puts it into an archive.
pack() {
  local name=$1 program=$2
  export GOFLAGS="-trimpath -tags=$3"
  [ "$GOOS" != windows ] || program=$program.exe
  mkdir "$work/$name"
  GOFIPS140=${4:-off} go build -C cmd/esdk -ldflags "-s -w -buildid= -X main.tag=$tag" -o "$work/$name/$program" .
  size=$(wc -c <"$work/$name/$program")
  cp -r "$work/man" "$work/completions" "$work/text/." "$work/$name"
  tar -C "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode='u+rw,go+r-w,a+X' -cf - "$name" |
    gzip -9n >"$work/out/$name.tar.gz"
  "$work/bin/cyclonedx-gomod" app -json -noserial -std=false -output "$work/sbom.json" cmd/esdk 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
  # The hash of this module covers its whole directory, including .git, so it's
  # left out.
  sed -e '/"timestamp":/d' -e '\|"name": "'"$module"'",|,/"purl":/{/"hashes": \[/,/\],/d}' "$work/sbom.json" >"$work/out/$name.sbom.json"
  rm -r "${work:?}/$name"
  echo "$name: $size bytes"
}

for platform in $platforms; do
  export GOOS=${platform%/*} GOARCH=${platform#*/}
  pack "esdk-$version-$GOOS-$GOARCH" esdk grpcnotrace
  [ "$size" -lt "$MAX_SIZE" ] || { echo "build.sh: that is more than $MAX_SIZE" >&2; exit 1; }
  pack "esdk-fips-$version-$GOOS-$GOARCH" esdk-fips grpcnotrace certified
  pack "esdk-full-$version-$GOOS-$GOARCH" esdk-full grpcnotrace,full
done
(cd "$work/out" && sha256sum -- * >SHA256SUMS)

mkdir -p "$out"
cp "$work"/out/* "$out"
