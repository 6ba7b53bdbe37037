#!/bin/bash
# kafka-run-class.sh CLASS [ARGUMENT]...; under the name of one of Kafka's tools
# (kafka-topics.sh is a link to this file) it runs that tool's class.
set -euo pipefail

case ${0##*/} in
  kafka-topics.sh) set -- org.apache.kafka.tools.TopicCommand "$@" ;;
  kafka-configs.sh) set -- kafka.admin.ConfigCommand "$@" ;;
  kafka-reassign-partitions.sh) set -- org.apache.kafka.tools.reassign.ReassignPartitionsCommand "$@" ;;
  kafka-leader-election.sh) set -- org.apache.kafka.tools.LeaderElectionCommand "$@" ;;
  kafka-metadata-quorum.sh) set -- org.apache.kafka.tools.MetadataQuorumCommand "$@" ;;
  kafka-consumer-groups.sh) set -- org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@" ;;
  kafka-groups.sh) set -- org.apache.kafka.tools.GroupsCommand "$@" ;;
  kafka-storage.sh) set -- kafka.tools.StorageTool "$@" ;;
  kafka-features.sh) set -- org.apache.kafka.tools.FeatureCommand "$@" ;;
  kafka-broker-api-versions.sh) set -- org.apache.kafka.tools.BrokerApiVersionsCommand "$@" ;;
  kafka-cluster.sh) set -- org.apache.kafka.tools.ClusterTool "$@" ;;
  kafka-log-dirs.sh) set -- org.apache.kafka.tools.LogDirsCommand "$@" ;;
  kafka-dump-log.sh) set -- kafka.tools.DumpLogSegments "$@" ;;
  kafka-get-offsets.sh) set -- org.apache.kafka.tools.GetOffsetShell "$@" ;;
  kafka-delete-records.sh) set -- org.apache.kafka.tools.DeleteRecordsCommand "$@" ;;
  kafka-transactions.sh) set -- org.apache.kafka.tools.TransactionsCommand "$@" ;;
  kafka-console-producer.sh) set -- org.apache.kafka.tools.ConsoleProducer "$@" ;;
  kafka-console-consumer.sh) set -- org.apache.kafka.tools.consumer.ConsoleConsumer "$@" ;;
esac
if [[ $# -eq 0 ]]; then
  echo "usage: kafka-run-class.sh CLASS [ARGUMENT]..." >&2
  exit 1
fi

home=/opt/kafka
archive=${CDS_OPTS--Xshare:auto -XX:SharedArchiveFile=$home/kafka.jsa -Xlog:cds=off -Xlog:cds+dynamic=off}
performance=${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true}

# These variables hold lists of options: splitting them is the point.
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} $archive $performance \
  -Djava.security.egd=file:/dev/urandom -Dkafka.logs.dir=/opt/kafka/logs \
  ${KAFKA_GC_LOG_OPTS:-} ${KAFKA_JMX_OPTS:-} \
  ${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=file:$home/config/tools-log4j2.yaml} \
  -cp "$(<"$home/classpath")${CLASSPATH:+:$CLASSPATH}" ${KAFKA_OPTS:-} "$@"
