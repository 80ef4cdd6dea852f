"""The edges: sources, mappings and shipping at the institution; Kafka and Elasticsearch clients."""
