"""Measurements: ratios and tables, never timed tests."""
