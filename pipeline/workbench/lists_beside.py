"""The lists that belong to a rule file: of its folder, of the folders above, and of the rule pack that it is in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.detect.load import LISTS_SUFFIX
from pipeline.detect.placeholders import load_placeholders

PACK_FOLDERS: Final = ("detections", "correlations", "filters")
"""A pack's parts; its lists may be in any of them."""


def lists_beside(files: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Values for `expand`, by name.

    Raises:
        ConfigError: a damaged list.
    """
    folders = {parent for file in files for parent in file.resolve().parents}
    return {name: values for folder in sorted(folders) for name, values in _lists_of(folder).items()}


@cache
def _lists_of(folder: Path) -> dict[str, tuple[str, ...]]:
    whole_pack = any((folder / part).is_dir() for part in PACK_FOLDERS)
    found = sorted(folder.rglob(f"*{LISTS_SUFFIX}") if whole_pack else folder.glob(f"*{LISTS_SUFFIX}"))
    return {name: values for path in found for name, values in load_placeholders(path).items()}
