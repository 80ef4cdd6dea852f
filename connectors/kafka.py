"""Kafka clients as this project wants them: acknowledged by all, idempotent, compressed, never guessing."""

from __future__ import annotations

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""The brokers' `message.max.bytes`; a larger record is refused at the producer."""
SERVICE_BLOCK_MS = 15_000
"""How long a service's producer looks for its broker before it fails, and another is opened."""


def client_options(connection: KafkaConnection) -> dict[str, Any]:
    """Connection, authentication and encryption as kafka-python's keyword arguments."""
    options: dict[str, Any] = {
        "bootstrap_servers": connection.bootstrap_servers,
        "security_protocol": connection.security_protocol,
    }
    if connection.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": connection.sasl_mechanism,
            "sasl_plain_username": connection.username,
            "sasl_plain_password": connection.password(),
        }
    if connection.security_protocol.endswith("SSL") and connection.ca_file is not None:
        options["ssl_cafile"] = str(connection.ca_file)
    if connection.security_protocol.endswith("SSL") and connection.certificate_file is not None:
        options |= {"ssl_certfile": str(connection.certificate_file), "ssl_keyfile": str(connection.key_file)}
    return options


def open_producer(connection: KafkaConnection, **overrides: Any) -> KafkaProducer:
    """A producer that loses nothing: `acks=all`, idempotent, retried until `delivery_timeout_ms`.

    Raises:
        ConnectionError_: the broker cannot be reached, or refuses the credentials (kafka-python cannot tell which).
    """
    options = client_options(connection) | {
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "lz4",
        "linger_ms": 20,
        "batch_size": 256 * 1024,
        "max_request_size": MAX_RECORD_BYTES,
    }
    return _connected(connection, lambda: KafkaProducer(**(options | overrides)))


def open_consumer(connection: KafkaConnection, *topics: str, **overrides: Any) -> KafkaConsumer:
    """A consumer that sees committed records only and commits when told to.

    Raises:
        ConnectionError_: as `open_producer`.
    """
    options = client_options(connection) | {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": MAX_RECORD_BYTES,
    }
    return _connected(connection, lambda: KafkaConsumer(*topics, **(options | overrides)))


def open_admin(connection: KafkaConnection) -> KafkaAdminClient:
    """An administration client.

    Raises:
        ConnectionError_: as `open_producer`.
    """
    return _connected(connection, lambda: KafkaAdminClient(**client_options(connection)))


def _connected(connection: KafkaConnection, make: Any) -> Any:
    try:
        return make()
    except (KafkaError, OSError) as error:  # an OSError: a certificate file that is not there or holds none
        told = type(error).__name__ if isinstance(error, KafkaError) else f"{type(error).__name__}: {error}"
        raise ConnectionError_(
            f"kafka {','.join(connection.bootstrap_servers)}",
            f"cannot connect as {connection.username or 'the certificate says'} ({told})",
            hint="check that the broker runs (jsoc status), the address, the password file and the CA file",
        ) from error
