"""Where log lines come from: one file per kind of source, all read by the same line reader."""
