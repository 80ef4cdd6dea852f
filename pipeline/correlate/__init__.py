"""Hits to alert episodes: pure functions over plain data."""
