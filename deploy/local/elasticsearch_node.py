"""Elasticsearch: one node with security on, its own configuration folder, never as root."""

from __future__ import annotations

import shutil
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Final

import yaml

from connectors.settings import read_secret
from deploy.local.certificates import CertificateAuthority
from deploy.local.elasticsearch_users import (
    elasticsearch_connection,
    roles_file,
    users_file,
    users_roles_file,
)
from deploy.local.processes import port_answers
from deploy.local.service_user import own, step_down
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError

PORTS: Final = ("elasticsearch", "elasticsearch-transport")
_JVM_OPTIONS: Final = """\
-Xms512m
-Xmx512m
# Roles are files here; without this it tries in vain to copy its built-in ones into an index.
-Des.queryable_built_in_roles_enabled=false
"""
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


def folder(settings: StackSettings) -> Path:
    """Data, logs, temporary files and configuration."""
    return settings.home / "elasticsearch"


def distribution(settings: StackSettings) -> Path:
    """The unpacked program; never written to."""
    return next((settings.jvm_home / "elasticsearch").glob("elasticsearch-*"))


def prepare_elasticsearch(settings: StackSettings, authority: CertificateAuthority) -> None:
    """Write the configuration, the users and the certificate, all owned by the user it will run as."""
    base = folder(settings)
    config = base / "config"
    for name in ("data", "logs", "tmp", "config/certs", "config/jvm.options.d"):
        (base / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(distribution(settings) / "config", config, dirs_exist_ok=True)
    _without_gc_log(config / "jvm.options")
    key, mark, chain = authority.ensure("elasticsearch").read_text(encoding="ascii").partition(_CERTIFICATE)
    files = {
        "elasticsearch.yml": yaml.safe_dump(_settings(settings), sort_keys=False),
        "users": users_file(settings),
        "users_roles": users_roles_file(),
        "roles.yml": roles_file(),
        "jvm.options.d/one-machine.options": _JVM_OPTIONS,
        "certs/node.key": key,
        "certs/node.crt": mark + chain,
        "certs/ca.crt": authority.certificate_file.read_text(encoding="ascii"),
        "log4j2.properties": _LOG4J,
    }
    for name, content in files.items():
        path = config / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(content, encoding="utf-8")
    base.chmod(0o700)
    own([base])


def elasticsearch_command(settings: StackSettings, java_home: Path) -> list[str]:
    """The command line, with the words that give up root where needed."""
    program = distribution(settings) / "bin" / "elasticsearch"
    return [*step_down([program, folder(settings), java_home / "bin" / "java"]), str(program)]


def elasticsearch_environment(settings: StackSettings, java_home: Path) -> dict[str, str]:
    """What its launcher reads."""
    base = folder(settings)
    return {
        "HOME": str(base),
        "ES_JAVA_HOME": str(java_home),
        "ES_PATH_CONF": str(base / "config"),
        "ES_TMPDIR": str(base / "tmp"),
        "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms32m -Xmx64m",
    }


def elasticsearch_is_ready(settings: StackSettings) -> bool:
    """Whether it lets a user in and is healthy enough to store and find.

    Raises:
        ConfigError: it does not let that user in.
    """
    if not port_answers(settings.port("elasticsearch")):
        return False
    connection = elasticsearch_connection(settings, "operator")
    token = b64encode(f"{connection.username}:{read_secret(connection.secret_file)}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the URL is ours
        f"{connection.url}/_cluster/health?wait_for_status=yellow&timeout=1s",
        headers={"Authorization": f"Basic {token}"},
    )
    context = ssl.create_default_context(cafile=str(connection.ca_file))
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ConfigError(
                f"elasticsearch {connection.url}",
                f"refuses its own user {connection.username} ({error.code})",
                hint="jsoc down, jsoc up; if it stays so: jsoc logs elasticsearch",
            ) from error
        return False
    except OSError:
        return False


def _settings(settings: StackSettings) -> dict[str, object]:
    base = folder(settings)
    tls = "xpack.security.http.ssl"
    return {
        "cluster.name": "jointsoc-one-machine",
        "node.name": "centre-1",
        "discovery.type": "single-node",
        "network.host": LOOPBACK,
        "http.port": settings.port("elasticsearch"),
        "transport.port": settings.port("elasticsearch-transport"),
        "path.data": str(base / "data"),
        "path.logs": str(base / "logs"),
        # A laptop's disk is often fuller than 90 %: stop allocating only when it is nearly out of space.
        "cluster.routing.allocation.disk.watermark.low": "1gb",
        "cluster.routing.allocation.disk.watermark.high": "500mb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "250mb",
        "action.auto_create_index": "alerts-*,workflow-*,events-*",
        "xpack.security.enabled": True,
        "xpack.security.enrollment.enabled": False,
        "xpack.security.autoconfiguration.enabled": False,
        "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
        f"{tls}.enabled": True,
        f"{tls}.certificate": "certs/node.crt",
        f"{tls}.key": "certs/node.key",
        f"{tls}.certificate_authorities": ["certs/ca.crt"],
    }


def _without_gc_log(options: Path) -> None:
    """Their garbage collection log is 32 files of 64 MB at a path relative to the program's folder."""
    lines = options.read_text(encoding="utf-8").splitlines(keepends=True)
    options.write_text("".join(line for line in lines if "-Xlog:gc" not in line), encoding="utf-8")


_LOG4J: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1.} %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""
