"""`jsoc`: one file per command; parses, calls, prints."""
