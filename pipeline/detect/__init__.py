"""Sigma to matches: pure functions over flat events."""
