from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import jvm_parts
from deploy.local.jvm_parts import Part, Parts, fetch_parts, load_parts, missing_parts, require_parts
from schemas.errors import ConfigError, ConnectionError_


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        program = zipfile.ZipInfo("es-1/bin/es")
        program.external_attr = 0o100755 << 16
        file.writestr(program, "#!/bin/sh\n")
        file.writestr("es-1/lib/a.jar", "x" * 100)
    return content.getvalue()


FILES = {"one.jar": b"one", "es-1.zip": archive()}


def sha(name: str) -> str:
    return hashlib.sha256(FILES[name]).hexdigest()


PARTS = Parts(
    plugin="a:b:1",
    parts={
        "lib": Part(goal="closure", coordinates=("g:one:1",), bytes=3, files={"one.jar": sha("one.jar")}),
        "es": Part(goal="unzip", coordinates=("g:es:1:zip",), bytes=9, files={"es-1.zip": sha("es-1.zip")}),
    },
)


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A stand-in for `mvn` that copies files from a folder; its script can be replaced."""
    served = tmp_path / "served"
    served.mkdir()
    for name, content in FILES.items():
        (served / name).write_bytes(content)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SERVED", str(served))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def install(script: str) -> None:
        (programs / "mvn").write_text(f"#!/bin/bash\necho called >> $CALLS\n{script}\n", encoding="utf-8")
        (programs / "mvn").chmod(0o755)

    install(
        "for word; do case $word in -DoutputDirectory=*) out=${word#*=};; *:copy-dependencies) f=one.jar;;"
        " *:copy) f=es-1.zip;; esac; done; cp $SERVED/$f $out/"
    )
    return install


def fetch(tmp_path: Path) -> list[str]:
    return fetch_parts(tmp_path / "jvm", tmp_path, lambda *_: None, PARTS)


def calls(tmp_path: Path) -> int:
    path = tmp_path / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path, maven: Callable[[str], None]) -> None:
    assert fetch(tmp_path) == ["lib", "es"]
    assert fetch(tmp_path) == []
    assert calls(tmp_path) == 2
    assert (tmp_path / "jvm" / "lib" / "one.jar").read_bytes() == b"one"


def test_an_unpacked_program_can_be_executed_and_read_by_everybody(
    tmp_path: Path, maven: Callable[[str], None]
) -> None:
    before = os.umask(0o077)
    try:
        fetch(tmp_path)
    finally:
        os.umask(before)
    folder = tmp_path / "jvm" / "es" / "es-1"
    assert (folder / "bin" / "es").stat().st_mode & 0o777 == 0o755
    assert (folder / "lib" / "a.jar").stat().st_mode & 0o777 == 0o644
    assert not (folder.parent / "es-1.zip").exists()


@pytest.mark.parametrize("damage", ["lib/one.jar", "es/es-1/lib/a.jar", "es/manifest.json"])
def test_a_part_that_lost_a_file_is_fetched_anew(tmp_path: Path, maven: Callable[[str], None], damage: str) -> None:
    fetch(tmp_path)
    (tmp_path / "jvm" / damage).unlink()
    assert fetch(tmp_path) == [damage.partition("/")[0]]


def test_a_part_of_another_version_is_fetched_anew(tmp_path: Path, maven: Callable[[str], None]) -> None:
    fetch(tmp_path)
    manifest = tmp_path / "jvm" / "lib" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"coordinates": ["g:one:0"]}))
    assert missing_parts(tmp_path / "jvm", PARTS) == ["lib"]


def test_an_interrupted_fetch_leaves_nothing_that_counts_and_is_repeated(
    tmp_path: Path, maven: Callable[[str], None]
) -> None:
    stage = tmp_path / "jvm" / "lib.partial"
    stage.mkdir(parents=True)
    (stage / "half.jar").touch()
    assert missing_parts(tmp_path / "jvm", PARTS) == ["lib", "es"]
    assert fetch(tmp_path) == ["lib", "es"]
    assert not stage.exists()


def test_a_wrong_checksum_stops_everything_and_nothing_is_kept(tmp_path: Path, maven: Callable[[str], None]) -> None:
    (tmp_path / "served" / "one.jar").write_bytes(b"evil")
    with pytest.raises(ConfigError, match=r"one\.jar: the SHA-256 sum is wrong"):
        fetch(tmp_path)
    assert not (tmp_path / "jvm" / "lib").exists()


def test_a_file_that_is_not_on_the_list_stops_everything(tmp_path: Path, maven: Callable[[str], None]) -> None:
    maven(
        "for word; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done; cp $SERVED/one.jar $out/; "
        "touch $out/extra.jar"
    )
    with pytest.raises(ConfigError, match=r"extra\.jar"):
        fetch(tmp_path)


def test_without_a_network_mavens_reason_is_told_in_one_line(tmp_path: Path, maven: Callable[[str], None]) -> None:
    maven(r"echo '[INFO] x'; printf '[ERROR] Could not transfer artifact: \033[31mUnknown host\n'; exit 1")
    with pytest.raises(ConnectionError_) as error:
        fetch(tmp_path)
    assert "Unknown host" in str(error.value)
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_full_disk_is_noticed_before_and_during_the_fetch(
    tmp_path: Path, maven: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    maven("echo '[ERROR] x: No space left on device'; exit 1")
    with pytest.raises(ConfigError, match="no space left"):
        fetch(tmp_path)
    monkeypatch.setattr(jvm_parts.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5}))
    with pytest.raises(ConfigError, match="not enough disk space"):
        fetch(tmp_path)


def test_without_maven_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install maven"):
        fetch(tmp_path)


def test_starting_without_set_up_points_to_setup(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Try: jsoc setup"):
        require_parts(tmp_path / "jvm")


def test_every_file_of_the_real_list_has_a_sha256() -> None:
    parts = load_parts()
    assert set(parts.parts) == {"kafka", "flink-connector-kafka", "elasticsearch"}
    for part in parts.parts.values():
        assert part.files
        assert all(len(bytes.fromhex(digest)) == 32 for digest in part.files.values())
