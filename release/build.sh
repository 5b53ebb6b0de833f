#!/usr/bin/env bash
# Builds the command for all platforms: build.sh [OUT]. OUT (default dist) gets, for each platform, an archive with the
# command, its manual pages, completions and the license, and a list of what it is made of (SBOM, CycloneDX); and
# SHA256SUMS. The same commit and the same Go make the same bytes, wherever and whenever. Needs Go and GNU tar.
# PLATFORMS="linux/amd64 …" builds for those alone.
set -euo pipefail

CYCLONEDX=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
MAX_SIZE=30000000 # bytes of the command

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-dist}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
[ -z "$(git status --porcelain)" ] || { echo "build.sh: there are changes that are not committed" >&2; exit 1; }
version=$(git describe --tags --always)
epoch=$(git log -1 --format=%ct)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-trimpath LC_ALL=C TZ=UTC
umask 022

go run -tags man ./cmd/esdk man "$work/man"
go build -o "$work/esdk" ./cmd/esdk
mkdir "$work/completions" "$work/out"
for shell in bash zsh fish powershell; do "$work/esdk" completion "$shell" >"$work/completions/esdk.$shell"; done
GOBIN=$work/bin go install "$CYCLONEDX"

for platform in $platforms; do
  export GOOS=${platform%/*} GOARCH=${platform#*/}
  name=esdk-$version-$GOOS-$GOARCH
  program=esdk
  [ "$GOOS" != windows ] || program=esdk.exe
  mkdir "$work/$name"
  go build -ldflags "-s -w -buildid=" -o "$work/$name/$program" ./cmd/esdk
  size=$(wc -c <"$work/$name/$program")
  [ "$size" -lt "$MAX_SIZE" ] || { echo "build.sh: $name has $size bytes" >&2; exit 1; }
  cp -r "$work/man" "$work/completions" "$work/$name"
  cp LICENSE README.md "$work/$name"
  tar -C "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode='u+rw,go+r-w,a+X' -cf - "$name" |
    gzip -9n >"$work/out/$name.tar.gz"
  "$work/bin/cyclonedx-gomod" app -json -noserial -std=false -main cmd/esdk -output "$work/sbom.json" . 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
  grep -v '"timestamp":' "$work/sbom.json" >"$work/out/$name.sbom.json"
  echo "$name: $size bytes"
done
(cd "$work/out" && sha256sum -- * >SHA256SUMS)

mkdir -p "$out"
cp "$work"/out/* "$out"
