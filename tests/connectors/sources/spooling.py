"""A spooled source in a folder, for tests of listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.sources.line import Line
from connectors.sources.spooled import Feeder, SpooledSource
from connectors.spool import MIN_BYTES, Spool
from deploy.local.certificates import CertificateAuthority
from tests.connectors.forwarder.bench import until


class Spooling:
    """Feeds a spool and collects what comes out."""

    def __init__(self, folder: Path, feeder: Feeder, max_bytes: int = MIN_BYTES) -> None:
        self.spool = Spool(folder, max_bytes, sync_seconds=0.01)
        self.source = SpooledSource("test", self.spool, feeder)
        self.lines: list[Line] = []

    def wait_for(self, count: int) -> list[bytes]:
        """The first lines that came, once there are so many."""
        until(lambda: self.take() >= count)
        return [line.raw for line in self.lines]

    def take(self) -> int:
        self.lines += self.source.read()
        return len(self.lines)

    def acknowledge(self) -> None:
        last = self.lines[-1]
        self.source.acknowledge(last.stream, last.end)

    def __enter__(self) -> Spooling:
        return self

    def __exit__(self, *_: Any) -> None:
        self.source.close()


def tls_files(folder: Path) -> tuple[Path, Path]:
    """A CA's certificate, and a PEM file with key and certificate it has signed."""
    folder.mkdir(exist_ok=True)
    authority = CertificateAuthority(folder)
    return authority.certificate_file, authority.ensure("forwarder")
