"""What checks find: one line each, good or bad."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from schemas.errors import JointSocError

Verdict = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """One thing that was checked."""

    verdict: Verdict
    what: str
    detail: str


def tried(what: str, detail: str, attempt: Callable[[], object]) -> Finding:
    """A fault where the attempt raises one of our errors, else all is well."""
    try:
        attempt()
    except JointSocError as error:
        return Finding("fault", what, str(error))
    return Finding("ok", what, detail)


def readable(what: str, path: Path) -> Finding:
    """Whether this user may read a file."""
    if not os.access(path, os.R_OK):
        return Finding("fault", what, f"{path}: cannot be read by this user; Try: ls -l {path}")
    return Finding("ok", what, str(path))


def state_folder(folder: Path) -> Finding:
    """Whether this user may write a folder, or make it."""
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("fault", "state", f"{folder}: this user cannot write there")
    return Finding("ok", "state", str(folder))
