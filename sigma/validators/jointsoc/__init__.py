"""`sigma check` with the federation's own checks."""

from sigma.validators.jointsoc.federation import FederationBlockValidator, UnknownFieldValidator

__all__ = ["validators"]

validators = {
    "jointsoc_federation_block": FederationBlockValidator,
    "jointsoc_unknown_field": UnknownFieldValidator,
}
