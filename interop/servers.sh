# Sourced by the scripts here: DynamoDB Local, and the environment in which all SDKs find it.

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
backends=$interop/backends
dynamodb=

# With a cache folder of its own, so that other scripts neither stop this server nor are stopped by this one.
dynamodb_local() { XDG_CACHE_HOME=$t/cache "$backends/dynamodb-local.sh" "$@"; }

start_dynamodb() {
  [ -n "$(ls "$cache"/dynamodb-local-*/Loopback.class 2>/dev/null)" ] || "$backends/dynamodb-local.sh" install
  mkdir -p "$t/cache/esdk-interop"
  ln -s "$cache"/dynamodb-local-* "$t/cache/esdk-interop/"
  dynamodb=$(dynamodb_local start)
  export AWS_ENDPOINT_URL_DYNAMODB=$dynamodb
}

# Nothing of the user's own AWS settings, and no proxy, may come between the SDKs and the servers.
isolate() {
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export AWS_REGION=us-west-2 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
  unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_IGNORE_CONFIGURED_ENDPOINT_URLS ESDK_CONFIG
}

stop_servers() {
  [ -z "$dynamodb" ] || dynamodb_local stop || true
  rm -rf "$t"
}
