#!/usr/bin/env bash
# Apache Kafka, a broker that is its own controller (KRaft), on 127.0.0.1, with its data in a
# directory of its own. "start" prints its host and port, for ESDK_KAFKA_ADDRESS; without a port it
# takes a free one. "stop" removes the data. Needs a JDK of 17 or later, mvn and python3; "install"
# takes it from Maven Central, where its makers put it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"

home=$cache/kafka-4.3.1 # the version is in pom.xml
data=$run/kafka.data

install() {
  ! cmp -s "$here/kafka/pom.xml" "$home/installed" || return 0
  mkdir -p "$home"
  cp "$here/kafka/pom.xml" "$home/"
  cd "$home"
  mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
  cp pom.xml installed
}

# run_java MEMORY CLASS ARGUMENT...: warnings go to standard error.
run_java() {
  local memory=$1
  shift
  exec java "-Xmx$memory" -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$home/lib/*" "$@"
}

# answers URL: whether the broker says that it is alive. It takes connections before that, and then
# makes no topics. This is a Metadata request, of version 4, for no topic.
answers() { python3 - "$1" 2>/dev/null <<'END'
import socket, struct, sys, urllib.parse
at = urllib.parse.urlparse(sys.argv[1])
request = struct.pack(">hhihi?", 3, 4, 1, -1, 0, False)
with socket.create_connection((at.hostname, at.port), timeout=2) as connection, connection.makefile("rwb") as stream:
    stream.write(struct.pack(">i", len(request)) + request)
    stream.flush()
    length, correlation, throttled, brokers = struct.unpack(">iiii", stream.read(16))
sys.exit(brokers < 1)
END
}

case ${1-} in
  install) install ;;
  start)
    installed "$home/installed"
    port=${2:-$(free_port)}
    controller=$(free_port)
    mkdir -p "$data"
    # One of each, since there is one broker, and a cleaner that doesn't wait.
    cat >"$data/server.properties" <<END
process.roles=broker,controller
node.id=1
listeners=BROKER://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=BROKER://127.0.0.1:$port
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$data/logs
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=100
log.cleaner.dedupe.buffer.size=4194304
log.initial.task.delay.ms=100
num.network.threads=1
num.io.threads=2
END
    (run_java 64m kafka.tools.StorageTool format --ignore-formatted --cluster-id 4L6g3nShT-eMCtK--X86sw \
      --config "$data/server.properties") >"$run/kafka.format" 2>&1 || { tail -n 5 "$run/kafka.format" >&2; exit 1; }
    export -f run_java
    export home
    address=$(start kafka "$port" bash -c 'run_java "$@"' - 256m kafka.Kafka "$data/server.properties")
    echo "${address#http://}"
    ;;
  stop)
    stop kafka
    rm -rf "$data" "$run/kafka.format"
    ;;
  *) usage ;;
esac
