"""Find the Java that runs Kafka, Flink and Elasticsearch: a full JDK, 17 or newer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import ConfigError

_HINT = "install a JDK, 17 or newer (Debian: apt-get install openjdk-17-jdk-headless), or set JAVA_HOME"


def find_java_home(environ: Mapping[str, str] | None = None) -> Path:
    """The JDK's folder: JAVA_HOME, else the one behind `java` on the PATH.

    Raises:
        ConfigError: none, too old, or a runtime without the JDK's modules (Elasticsearch needs jdk.jdi and others).
    """
    environ = os.environ if environ is None else environ
    configured = environ.get("JAVA_HOME")
    if configured:
        home, where = Path(configured), "JAVA_HOME"
        if not (home / "bin" / "java").is_file():
            raise ConfigError(where, "no bin/java in it", got=configured, hint=_HINT)
    else:
        found = shutil.which("java", path=environ.get("PATH"))
        if found is None:
            raise ConfigError("java", "not found on the PATH", hint=_HINT)
        home, where = Path(found).resolve().parents[1], "java on the PATH"
    major = _major_version(home / "bin" / "java")
    if major < 17:
        raise ConfigError(where, "too old", got=f"Java {major}", expected="17 or newer", hint=_HINT)
    if not (home / "bin" / "javac").exists():
        raise ConfigError(where, "a runtime only", got=str(home), expected="a full JDK", hint=_HINT)
    return home


def _major_version(java: Path) -> int:
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise ConfigError(str(java), f"cannot run: {error.strerror}", hint=_HINT) from error
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match.group(1)) if match else 0
