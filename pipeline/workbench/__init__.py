"""The rule author's bench: cases, explanations of correlations, checks beyond the build, backtests, skeletons."""
