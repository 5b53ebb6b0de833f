#!/usr/bin/env bash
# Builds the archives for this machine's platform twice, from two clones of the
# committed tree, and expects the same bytes. Then checks their contents and
# runs the commands. Takes some minutes, since the second build has its own
# cache. Needs the tools of build.sh, and python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

MAX_SIZE=22000000 # bytes of the default build

fail() { echo "test.sh: $*" >&2; exit 1; }

[ -z "$(git status --porcelain)" ] || echo "test.sh: changes that are not committed are not tested" >&2
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
platform=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
version=v98.76.54
module=$(sed -n 's/^module //p' go.mod)
export PLATFORMS=$platform LC_ALL=C

one="$t/one" two="$t/a folder/with a longer name"
for clone in "$one" "$two"; do
  git clone -q . "$clone"
  git -C "$clone" tag "$version"
done
"$one/release/build.sh" "$t/out"
(umask 077 && TZ=Asia/Kathmandu GOCACHE=$t/cache GOFLAGS=-buildvcs=false "$two/release/build.sh" "$t/out2" >/dev/null)
diff -r "$t/out" "$t/out2" || fail "the second build is not the same"
echo "both builds are the same"

touch "$one/new"
! "$one/release/build.sh" "$t/none" 2>/dev/null || fail "it builds what is not committed"

suffix=$version-${platform/\//-}
(cd "$t/out" && sha256sum --quiet -c SHA256SUMS && ls) >"$t/list"
diff - "$t/list" <<END || fail "that is not what is to be made"
SHA256SUMS
esdk-fips-$suffix.sbom.json
esdk-fips-$suffix.tar.gz
esdk-full-$suffix.sbom.json
esdk-full-$suffix.tar.gz
esdk-$suffix.sbom.json
esdk-$suffix.tar.gz
END

# check PROGRAM: checks the archive of a build.
check() {
  local program=$1 folder=$t/$1-$suffix command
  tar -C "$t" -xzf "$t/out/$1-$suffix.tar.gz"
  (cd "$folder" && find . -type f ! -path './man/*' ! -path './docs/*' | sort) >"$t/list"
  diff - "$t/list" <<END || fail "that is not what is to be in the archive of $program"
./CHANGELOG.md
./LICENSE
./README.md
./SECURITY.md
./completions/esdk.bash
./completions/esdk.fish
./completions/esdk.powershell
./completions/esdk.zsh
./$program
END
  cmp LICENSE "$folder/LICENSE"
  diff <(git ls-files docs) <(cd "$folder" && find docs -type f | sort) || fail "those are not the documents"
  (cd interop && go run ./voice "$folder" >/dev/null) || fail "the documents of $program have dead links"
  run=$folder/$program
  for shell in bash fish powershell zsh; do "$run" completion $shell | cmp - "$folder/completions/esdk.$shell"; done
  "$run" __complete "" 2>/dev/null | sed -n 's/^\([a-z]*\)\t.*/\1/p' | grep -v '^help$' >"$t/commands"
  grep -q '^encrypt$' "$t/commands" || fail "there are no commands: $(cat "$t/commands")"
  while read -r command; do
    grep -q "^\.TH" "$folder/man/esdk-$command.1" || fail "esdk-$command.1 is not a manual page"
  done <"$t/commands"
  [ "$("$run" version | cut -d' ' -f1-2)" = "esdk $version" ] || fail "the version is to be $version: $("$run" version)"
  "$run" version --json | grep -q "\"revision\":\"$(git rev-parse HEAD)\"" || fail "another revision: $("$run" version --json)"
}

# modules PROGRAM: checks that the SBOM of a build lists the modules that Go
# reports.
modules() {
  python3 -c '
import json, sys
parts = json.load(open(sys.argv[1]))["components"]
print("\n".join(sorted(p["name"] if p["name"] == sys.argv[2] else p["name"] + " " + p["version"] for p in parts)))
' "$t/out/$1-$suffix.sbom.json" "$module" >"$t/$1.modules"
  go version -m "$t/$1-$suffix/$1" | awk -v "module=$module" '$1 == "dep" { print $2 == module ? $2 : $2 " " $3 }' | sort |
    diff "$t/$1.modules" - || fail "the list of modules of $1 is wrong"
}

# has PROGRAM MODULE: checks that a build contains a module. has_not checks the
# opposite.
has() { grep -q "^$2" "$t/$1.modules" || fail "$1 is to have $2"; }
has_not() { ! grep "^$2" "$t/$1.modules" || fail "$1 is not to have $2"; }

export HOME=$t XDG_CONFIG_HOME=$t
check esdk-full
full=$run
check esdk-fips
fips=$run
check esdk
default=$run
size=$(wc -c <"$default")
[ "$size" -lt $MAX_SIZE ] || fail "$size bytes are more than $MAX_SIZE"
modules esdk
modules esdk-full
modules esdk-fips
for build in esdk esdk-full esdk-fips; do
  for module in github.com/aws/aws-sdk-go-v2/service/kms github.com/spf13/cobra go.etcd.io/bbolt; do has $build "$module "; done
done
for module in github.com/Azure/ github.com/hashicorp/vault/api cloud.google.com/go/kms; do
  has esdk-full $module
  has_not esdk $module
  has_not esdk-fips $module
done

for alias in certified inprocess; do
  frozen=$(cat "$(go env GOROOT)/lib/fips140/$alias.txt")
  grep -q "^| .$alias. | $frozen[, ]" docs/security.md || fail "docs/security.md has another version than $frozen for $alias"
done

# says PROGRAM TEXT: checks that the output of "version" ends in TEXT.
says() { [[ $("$1" version) == *"$2)" ]] || fail "the version is to end in $2: $("$1" version)"; }

module=$(cat "$(go env GOROOT)/lib/fips140/certified.txt")
for run in "$default" "$full"; do ! go version -m "$run" | grep GOFIPS140 || fail "$run has a frozen FIPS module"; done
built=$(go version -m "$fips")
[[ $built == *build$'\t'"GOFIPS140=$module"* ]] || fail "there is no module $module: $built"
[[ $built == *build$'\t'DefaultGODEBUG=*fips140=on* ]] || fail "FIPS 140-3 mode is not the default: $built"
says "$default" "${platform#*/}"
says "$fips" ", FIPS 140-3 mode, module $module"
GODEBUG=fips140=off says "$fips" ", FIPS 140-3 mode off, module $module"
GODEBUG=fips140=on says "$default" ", FIPS 140-3 mode, module latest"
"$fips" version --json | grep -q "\"fips140\":true,\"fips140_module\":\"$module\"" || fail "the version: $("$fips" version --json)"

echo hello >"$t/f"
"$default" keygen aes -q -o "$t/key"
"$fips" keygen rsa -q -o "$t/rsa.pem" >"$t/rsa.pub"
"$fips" keygen hpke -q -o "$t/hpke.pem" >"$t/hpke.pub"
"$fips" keygen ecdh -q -o "$t/ecdh.pem" >"$t/ecdh.pub"
for run in "$default" "$full" "$fips"; do
  for keys in "aes:n/k@$t/key aes:n/k@$t/key" "rsa:n/k@$t/rsa.pub rsa:n/k@$t/rsa.pem" "hpke:k@$t/hpke.pub hpke:k@$t/hpke.pem" "ecdh:$t/ecdh.pub ecdh:@$t/ecdh.pem"; do
    "$run" encrypt -q -k "${keys% *}" -c a=b -o "$t/message" "$t/f"
    for other in "$default" "$full" "$fips"; do
      "$other" decrypt -q -k "${keys#* }" -c a=b -o "$t/back" "$t/message"
      cmp "$t/f" "$t/back"
      rm "$t/back"
    done
    rm "$t/message"
  done
done
! GODEBUG=fips140=only "$fips" encrypt -q -k "aes:n/k@$t/key" -o "$t/message" "$t/f" 2>"$t/only" || fail "fips140=only encrypts"
grep -q "GCM" "$t/only" || fail "fips140=only refuses something else: $(cat "$t/only")"
unset VAULT_SERVER_URL VAULT_SERVER_TOKEN VAULT_ADDR VAULT_TOKEN
for run in "$default" "$full"; do "$run" encrypt -k hashivault://x "$t/f" 2>"$t/${run##*/}.says" && fail "without a server, $run encrypts"; done
grep -q "does not have" "$t/esdk.says" || fail "the default build has Vault: $(cat "$t/esdk.says")"
! grep "does not have" "$t/esdk-full.says" || fail "the full build has no Vault"
echo "what is in them is right, and runs; the default build has $size bytes"
