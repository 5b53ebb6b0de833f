#!/usr/bin/env bash
# Runs the examples of docs/scale.md on real parts: test.sh [ARGUMENT OF GO TEST]... Installs Spark from PyPI, and a Java
# runtime where there is none, starts SeaweedFS and moto, and builds the command. Needs Go, Python 3 and pgrep.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../servers.sh"
backends=$interop/backends
ESDK_RUN=$t/run
export ESDK_RUN ESDK_REQUIRE_BACKENDS=1
stop() {
  for server in seaweedfs moto; do "$backends/$server.sh" stop; done
  rm -rf "$t"
}
trap stop EXIT

spark=4.3.0
venv=$cache/spark-$spark
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
[ -x "$venv/bin/spark-submit" ] || "$venv/bin/python" -m pip install -q --disable-pip-version-check "pyspark==$spark"
command -v java >/dev/null || { . "$backends/common.sh"; apt_install openjdk-17-jre-headless; }
ESDK_SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export ESDK_SPARK_HOME PYSPARK_PYTHON=$venv/bin/python SPARK_LOCAL_IP=127.0.0.1
(cd "$root/cmd/esdk" && CGO_ENABLED=0 go build -tags grpcnotrace -o "$t/bin/esdk" .)
export PATH=$t/bin:$PATH
ESDK_S3BATCH=$t/bin/bootstrap
(cd "$root/lake" && CGO_ENABLED=0 go build -tags lambda.norpc,grpcnotrace -o "$ESDK_S3BATCH" ./s3batch)
# What AWS has in its images of Lambda.
ESDK_LAMBDA_RIE=$cache/lambda/aws-lambda-rie
[ -x "$ESDK_LAMBDA_RIE" ] || GOBIN=$cache/lambda CGO_ENABLED=0 go install \
  github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d
export ESDK_S3BATCH ESDK_LAMBDA_RIE

isolate
for server in seaweedfs moto; do "$backends/$server.sh" install; done
ESDK_S3_URL=$("$backends/seaweedfs.sh" start)
ESDK_MOTO_URL=$("$backends/moto.sh" start)
ESDK_MOTO_PYTHON=$(echo "$cache"/moto-*/bin/python)
export ESDK_S3_URL ESDK_MOTO_URL ESDK_MOTO_PYTHON
# The command finds the server by these.
export AWS_ENDPOINT_URL_S3=$ESDK_S3_URL AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret
cd "$interop"
go test -count=1 -timeout 30m ./scale "$@"
