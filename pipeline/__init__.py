"""The centre: detect, correlate, and the Flink job that wires them."""
