"""Fetch the servers' programs with Maven: exact coordinates, checked against the SHA-256 sums in `jvm_parts.yml`.

A part counts as there when its manifest lists this version and every listed file has its size. Each part is built
in a folder beside its place and renamed into it, so an interrupted fetch leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape

import yaml
from pydantic import BaseModel, ConfigDict

from schemas.errors import ConfigError, ConnectionError_, printable

Report = Callable[[str, int, int], None]
"""Called with a part's name, bytes done and bytes to do."""

_PARTS_FILE: Final = Path(__file__).with_name("jvm_parts.yml")
_MANIFEST: Final = "manifest.json"


class Part(BaseModel):
    """One program: how Maven brings it, and what must arrive.

    Attributes:
        goal: `closure` (the coordinates and all they need at run time), `copy` (one file), `unzip` (one archive,
            unpacked).
        bytes: size of the download.
        files: file name -> SHA-256.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    goal: Literal["closure", "copy", "unzip"]
    coordinates: tuple[str, ...]
    bytes: int
    files: dict[str, str]


class Parts(BaseModel):
    """The whole list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str
    parts: dict[str, Part]


def load_parts(path: Path = _PARTS_FILE) -> Parts:
    """Read the list of parts."""
    return Parts.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def missing_parts(jvm_home: Path, parts: Parts) -> list[str]:
    """Names of the parts that are absent, incomplete, or of another version."""
    return [name for name, part in parts.parts.items() if not _is_complete(jvm_home / name, part)]


def require_parts(jvm_home: Path) -> None:
    """Make sure that everything was fetched.

    Raises:
        ConfigError: something is missing.
    """
    missing = missing_parts(jvm_home, load_parts())
    if missing:
        raise ConfigError(str(jvm_home), f"not set up: {', '.join(missing)}", hint="jsoc setup")


def fetch_parts(jvm_home: Path, java_home: Path, report: Report, parts: Parts | None = None) -> list[str]:
    """Fetch what is missing; returns the names of the parts fetched, empty when all was there.

    Raises:
        ConfigError: no Maven, no disk space, or a file whose checksum is wrong.
        ConnectionError_: Maven cannot reach a repository.
    """
    parts = parts or load_parts()
    jvm_home.mkdir(parents=True, exist_ok=True)
    with _alone(jvm_home):
        missing = missing_parts(jvm_home, parts)
        if missing:
            _check_disk(jvm_home, sum(parts.parts[name].bytes for name in missing))
        for name in missing:
            part = parts.parts[name]
            stage = jvm_home / f"{name}.partial"
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            _run_maven(jvm_home, java_home, parts.plugin, name, part, stage, report)
            _verify(name, part, stage)
            if part.goal == "unzip":
                _unpack(stage, next(iter(part.files)))
            _write_manifest(stage, part)
            shutil.rmtree(jvm_home / name, ignore_errors=True)
            stage.rename(jvm_home / name)
            report(name, part.bytes, part.bytes)
    return missing


def _is_complete(folder: Path, part: Part) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["coordinates"] != list(part.coordinates) or manifest["sums"] != part.files:
            return False
        return all((folder / name).stat().st_size == size for name, size in manifest["sizes"].items())
    except (OSError, ValueError, KeyError):
        return False


def _write_manifest(stage: Path, part: Part) -> None:
    sizes = {str(path.relative_to(stage)): path.stat().st_size for path in stage.rglob("*") if path.is_file()}
    manifest = {"coordinates": list(part.coordinates), "sums": part.files, "sizes": sizes}
    (stage / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def _check_disk(jvm_home: Path, download: int) -> None:
    needed = download * 3  # Maven's copy, ours, and the unpacked one
    free = shutil.disk_usage(jvm_home).free
    if free < needed:
        raise ConfigError(
            str(jvm_home),
            "not enough disk space",
            got=f"{free // 2**20} MB free",
            expected=f"{needed // 2**20} MB",
            hint="free some space, or set JSOC_JVM_HOME to a folder on another disk",
        )


def _run_maven(
    jvm_home: Path, java_home: Path, plugin: str, name: str, part: Part, stage: Path, report: Report
) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("mvn", "Maven is not on the PATH", hint="apt-get install maven")
    repository = jvm_home / "maven"
    command = [maven, "-B", "-ntp", f"-Dmaven.repo.local={repository}", f"-DoutputDirectory={stage}"]
    if part.goal == "closure":
        pom = jvm_home / f"{name}.pom.xml"
        pom.write_text(_pom(part.coordinates), encoding="utf-8")
        command += ["-f", str(pom), f"{plugin}:copy-dependencies", "-DincludeScope=runtime"]
    else:
        command += [f"{plugin}:copy", f"-Dartifact={part.coordinates[0]}"]
    before = _size_of(repository)
    log_path = jvm_home / "maven.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=jvm_home,
            env=os.environ | {"JAVA_HOME": str(java_home)},
        )
        try:
            while process.poll() is None:
                report(name, min(_size_of(repository) - before, part.bytes * 99 // 100), part.bytes)
                time.sleep(0.2)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        raise _maven_error(name, part, log_path)


def _maven_error(name: str, part: Part, log_path: Path) -> ConfigError | ConnectionError_:
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
    cause = printable(next((line for line in lines if line.startswith("[ERROR]")), "no reason given"))
    where = f"maven: {part.coordinates[0]}"
    if any("No space left on device" in line for line in lines):
        return ConfigError(where, "no space left on the disk", hint="free some space, then run it again")
    return ConnectionError_(
        where,
        f"cannot fetch {name}",
        got=cause.removeprefix("[ERROR] "),
        hint=f"check the network and Maven's settings, then run it again; all of Maven's words: {log_path}",
    )


def _pom(coordinates: tuple[str, ...]) -> str:
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *(escape(piece) for piece in coordinate.split(":"))
        )
        for coordinate in coordinates
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>jointsoc</groupId><artifactId>parts</artifactId><version>1</version>"
        f"<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>\n"
    )


def _verify(name: str, part: Part, stage: Path) -> None:
    came = {path.name: path for path in stage.iterdir()}
    if set(came) != set(part.files):
        odd = sorted(set(came) ^ set(part.files))
        raise ConfigError(f"maven: {name}", "other files than listed", got=", ".join(odd), expected="none")
    for file_name, expected in part.files.items():
        with came[file_name].open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != expected:
            raise ConfigError(
                f"maven: {file_name}",
                "the SHA-256 sum is wrong",
                got=actual,
                expected=expected,
                hint="remove the jvm/maven folder and run `jsoc setup` again; if it stays wrong, ask who serves it",
            )


def _unpack(stage: Path, archive_name: str) -> None:
    archive = stage / archive_name
    with zipfile.ZipFile(archive) as content:
        for item in content.infolist():
            path = Path(content.extract(item, stage))
            # Readable by the unprivileged user that runs it, whatever the umask; the archive says what is executable.
            executable = item.is_dir() or (item.external_attr >> 16) & 0o100
            path.chmod(0o755 if executable else 0o644)
    archive.unlink()


def _size_of(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118
            except OSError:
                continue  # Maven renamed it meanwhile
    return total


@contextmanager
def _alone(jvm_home: Path) -> Iterator[None]:
    with (jvm_home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
