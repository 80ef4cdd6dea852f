"""The one-machine stack: Kafka, Elasticsearch and Flink as real processes in the project's own ignored folder."""
