"""Institutions' names for the pages; the registry is read again when its file changes."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from dashboard.wording import safe
from schemas.errors import ConfigError
from schemas.member import MemberRegistry, load_registry

log = structlog.get_logger()


class MemberNames:
    """Names and kinds of institutions; an unknown one is shown by its id.

    Args:
        path: `members.yml`; may be missing or broken, pages are shown all the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._registry = MemberRegistry()
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def registry(self) -> MemberRegistry:
        """The registry as it is now, or as it was when it could last be read."""
        with self._lock:
            try:
                stat = self._path.stat()
                if (stamp := (stat.st_mtime_ns, stat.st_size)) != self._stamp:
                    self._stamp = stamp
                    self._registry = load_registry(self._path)
            except OSError:
                self._stamp = None
            except ConfigError as error:
                log.warning("dashboard.members_unreadable", error=str(error))
            return self._registry

    def names(self) -> dict[str, str]:
        """Member id -> name."""
        return {member.id: safe(member.name, 60) for member in self.registry().members}

    def ids_named(self, text: str) -> tuple[str, ...]:
        """Ids of the institutions whose name holds the text."""
        wanted = text.casefold().strip()
        return tuple(member.id for member in self.registry().members if wanted and wanted in member.name.casefold())
