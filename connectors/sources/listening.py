"""What listeners have in common: their address, and the certificate they show."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from connectors.forwarder.input_settings import ServerKeys
from connectors.settings import read_secret
from schemas.errors import ConfigError

BACKLOG: Final = 128


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `host:port`; brackets around an IPv6 address are taken off.

    >>> host_and_port("[::1]:514")
    ('::1', 514)
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def server_context(keys: ServerKeys) -> ssl.SSLContext:
    """The TLS context of a listener: TLS 1.2 or newer; with a client CA, senders must show a certificate.

    Raises:
        ConfigError: a file is missing, is no certificate or key, or the key can be read by others.
    """
    read_secret(keys.key_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(keys.certificate_file, keys.key_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(keys.certificate_file, error) from error
    if keys.client_ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(keys.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(keys.client_ca_file, error) from error
    return context


def cannot_listen(address: str, error: OSError) -> ConfigError:
    """The error of an address that cannot be had."""
    return ConfigError(f"listen {address}", f"cannot listen there: {error.strerror or error}", hint="ss -lntup")


def _unusable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(str(path), f"not a usable certificate or key: {error}")
