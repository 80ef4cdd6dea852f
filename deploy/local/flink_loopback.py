"""Keep the TaskManager's worker ports on loopback: compile the one class that decides where they listen.

Flink has no setting for it: the servers belong to Apache Beam, which binds them to every interface (see
`loopback/ServerFactory.java`). Whoever reaches them could feed the detection workers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError, printable

_SOURCE: Final = Path(__file__).with_name("loopback") / "ServerFactory.java"


def loopback_classes(jvm_home: Path, java_home: Path, flink_python: Path) -> Path:
    """The folder to put first on a TaskManager's class path; compiled once for each version of source and Flink.

    Raises:
        ConfigError: it does not compile against this Flink.
    """
    mark = hashlib.sha256(_SOURCE.read_bytes() + flink_python.name.encode()).hexdigest()[:16]
    folder = jvm_home / "flink-loopback" / mark
    if folder.is_dir():
        return folder
    stage = folder.with_name(f"{mark}.{os.getpid()}.partial")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    command = [str(java_home / "bin" / "javac"), "--release", "17", "-cp", str(flink_python), "-d", str(stage)]
    done = subprocess.run([*command, str(_SOURCE)], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        shutil.rmtree(stage, ignore_errors=True)
        words = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise ConfigError(str(_SOURCE), f"does not compile against {flink_python.name}", got=printable(words))
    if not folder.is_dir():
        stage.rename(folder)
    return folder
