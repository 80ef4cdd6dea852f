"""The Flink job: the only place that imports pyflink; wiring, no decisions."""
