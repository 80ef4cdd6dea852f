"""Run a program that refuses root as an unprivileged user, also when it lies below a folder that user cannot enter."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError

UNPRIVILEGED: Final = 65_534
"""`nobody` on every Linux; it needs no entry in the user table."""


def must_step_down() -> bool:
    """Whether we are root, so that such a program needs another user."""
    return os.geteuid() == 0


def own(folders: Iterable[Path]) -> None:
    """Give folders and all they hold to the unprivileged user; does nothing unless we are root."""
    if not must_step_down():
        return
    for folder in folders:
        os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        for parent, directories, files in os.walk(folder):
            for name in (*directories, *files):
                os.chown(Path(parent, name), UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)


def step_down(paths: Iterable[Path]) -> list[str]:
    """The words to put before a command so that it runs unprivileged and can reach these paths; empty when not root.

    Below a folder closed to others (a clone in root's home) the program keeps one capability, to read and search;
    it still cannot write anything it does not own.

    Raises:
        ConfigError: `setpriv` is missing.
    """
    if not must_step_down():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigError(
            "setpriv",
            "not found; Elasticsearch refuses to run as root",
            hint="apt-get install util-linux, or run as an ordinary user",
        )
    words = [setpriv, f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    if all(can_reach(path) for path in paths):
        return [*words, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    capability = "+dac_read_search"
    return [
        *words,
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
        "--securebits=+no_setuid_fixup",
    ]


def can_reach(path: Path, uid: int = UNPRIVILEGED) -> bool:
    """Whether that user can enter every folder on the way to the path, and the path itself if it is a folder."""
    resolved = path.resolve()
    folders = [*resolved.parents, resolved] if resolved.is_dir() else [*resolved.parents]
    for folder in folders:
        status = folder.stat()
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid == uid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True
