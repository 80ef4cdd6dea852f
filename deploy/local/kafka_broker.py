"""The broker: one KRaft node, SCRAM over TLS for clients, client certificates between brokers and controller."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient

from connectors.kafka import MAX_RECORD_BYTES
from connectors.kafka_admin import open_admin_with_certificate
from deploy.local.certificates import PLATFORM, CertificateAuthority
from deploy.local.processes import child_environment, port_answers
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError, ConnectionError_, printable

BROKER: Final = "broker-1"
ADMIN_CERTIFICATE: Final = "admin"
PORTS: Final = ("kafka", "kafka-controller", "kafka-internal")

_LOG4J: Final = """\
status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
# Every refusal is here, one line each; what was allowed is not.
logger.authorizer.name = kafka.authorizer.logger
logger.authorizer.level = info
logger.transactions.name = org.apache.kafka.coordinator.transaction
logger.transactions.level = warn
logger.transactions_too.name = kafka.coordinator.transaction
logger.transactions_too.level = warn
"""


def folder(settings: StackSettings) -> Path:
    """The broker's data and configuration."""
    return settings.home / "kafka"


def prepare_broker(settings: StackSettings, authority: CertificateAuthority, java_home: Path) -> None:
    """Write the configuration and, once, format the storage.

    Raises:
        ConfigError: the storage cannot be formatted.
    """
    base = folder(settings)
    base.mkdir(parents=True, exist_ok=True)
    authority.ensure(ADMIN_CERTIFICATE)
    (base / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
    (base / "server.properties").write_text(
        _properties(settings, authority.ensure(BROKER), authority.certificate_file), encoding="utf-8"
    )
    if not (base / "data" / "meta.properties").exists():
        shutil.rmtree(base / "data", ignore_errors=True)  # an interrupted format leaves it without meta.properties
        _format(settings, java_home)


def broker_command(settings: StackSettings, java_home: Path) -> list[str]:
    """The command line of the broker."""
    heap = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    return [*_java(settings, java_home, heap), "kafka.Kafka", str(folder(settings) / "server.properties")]


def broker_is_ready(settings: StackSettings) -> bool:
    """Whether it answers an administrator."""
    if not port_answers(settings.port("kafka")):
        return False
    try:
        open_broker_admin(settings).close()
    except ConnectionError_:
        return False
    return True


def open_broker_admin(settings: StackSettings) -> KafkaAdminClient:
    """An administration client that needs no password: it shows the admin certificate on the internal listener.

    Raises:
        ConnectionError_: the broker does not run.
    """
    return open_admin_with_certificate(
        f"{LOOPBACK}:{settings.port('kafka-internal')}",
        settings.secrets / "ca.crt",
        settings.secrets / f"{ADMIN_CERTIFICATE}.pem",
    )


def _java(settings: StackSettings, java_home: Path, options: list[str]) -> list[str]:
    return [
        str(java_home / "bin" / "java"),
        *options,
        f"-Dlog4j2.configurationFile={folder(settings) / 'log4j2.properties'}",
        "-cp",
        f"{settings.jvm_home / 'kafka'}/*",
    ]


def _format(settings: StackSettings, java_home: Path) -> None:
    # Users are made afterwards over the internal listener: StorageTool would take a password in its arguments.
    cluster = "J" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]  # must not begin with '-'
    command = [*_java(settings, java_home, ["-XX:TieredStopAtLevel=1"]), "kafka.tools.StorageTool", "format"]
    command += ["-t", cluster, "-c", str(folder(settings) / "server.properties"), "--standalone"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(settings, "kafka-format"),
        timeout=120,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ConfigError(
            str(folder(settings) / "data"),
            "Kafka cannot format its storage",
            got=printable(words[-1] if words else f"exit code {done.returncode}"),
        )


def _properties(settings: StackSettings, pem: Path, ca: Path) -> str:
    address = {name: f"{LOOPBACK}:{settings.port(name)}" for name in PORTS}
    # Only certificates of O=platform get a name; any other subject stays a name nobody has granted anything.
    names = f"RULE:^CN=([a-z0-9-]+),O={PLATFORM}$/$1/,DEFAULT"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "log.dirs": folder(settings) / "data",
        "controller.quorum.bootstrap.servers": address["kafka-controller"],
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENTS://{address['kafka']},INTERNAL://{address['kafka-internal']},"
        f"CONTROLLER://{address['kafka-controller']}",
        "advertised.listeners": f"CLIENTS://{address['kafka']},INTERNAL://{address['kafka-internal']}",
        "inter.broker.listener.name": "INTERNAL",
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": pem,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca,
        "ssl.client.auth": "none",
        "listener.name.internal.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": names,
        "listener.name.internal.ssl.principal.mapping.rules": names,
        "listener.name.controller.ssl.principal.mapping.rules": names,
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": scram,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN_CERTIFICATE};User:{BROKER}",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        "num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 4,
        # The job's sink takes a new transactional id at every checkpoint: forget those of two hours ago.
        "transactional.id.expiration.ms": 7_200_000,
        "producer.id.expiration.ms": 7_200_000,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": MAX_RECORD_BYTES,
        "replica.fetch.max.bytes": 2 * MAX_RECORD_BYTES,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
