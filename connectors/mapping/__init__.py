"""Mappings as data: what a log line means in ECS, and which of its fields may leave the institution."""
