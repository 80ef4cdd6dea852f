"""`sigma convert -t jointsoc`: what the federation's engine makes of rules, as JSON."""

from sigma.backends.jointsoc.execution_plan import JointSocBackend

__all__ = ["JointSocBackend"]
