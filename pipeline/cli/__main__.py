"""`python -m pipeline.cli`: the same as `jsoc`."""

from pipeline.cli.main import main

main()
