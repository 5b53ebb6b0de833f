#!/usr/bin/env bash
# Amazon's DynamoDB Local, in memory, on 127.0.0.1. "start" prints its URL, for ESDK_DYNAMODB_URL;
# without a port it takes a free one. Needs a JDK of 17 or later, mvn and python3; "install" takes
# it from Maven Central.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"

home=$cache/dynamodb-local-2.6.1 # the version is in pom.xml
lib=$home/lib

install() {
  mkdir -p "$home"
  cp "$here/dynamodb-local/pom.xml" "$here/dynamodb-local/Loopback.java" "$home/"
  cd "$home"
  mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
  # The JVM looks for the native library under a name without the version that Maven gives it.
  for file in lib/libsqlite4java-*-*.so lib/libsqlite4java-*-*.dylib; do
    [ ! -e "$file" ] || ln -sf "$(basename "$file")" "$(sed -E 's/-[0-9.]+\.(so|dylib)$/.\1/' <<<"$file")"
  done
  javac -cp 'lib/*' -d . Loopback.java
}

case ${1-} in
  install) install ;;
  start)
    installed "$home/Loopback.class"
    port=${2:-$(free_port)}
    start dynamodb-local "$port" java -Dsqlite4java.library.path="$lib" -Djava.library.path="$lib" \
      -cp "$home:$lib/*" Loopback -inMemory -port "$port" -disableTelemetry
    ;;
  stop) stop dynamodb-local ;;
  *) usage ;;
esac
