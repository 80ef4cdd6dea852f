"""The process an institution runs: sources in, events out, and everything an operator needs to trust it."""
