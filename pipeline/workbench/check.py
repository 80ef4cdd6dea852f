"""Checks rules: each file once, remembered by its content, then all of them together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pipeline.detect.load import read_documents, read_file, rule_files
from pipeline.detect.placeholders import Placeholders, with_lists
from pipeline.workbench.check_all import check_all
from pipeline.workbench.check_file import FileReport, check_file
from pipeline.workbench.findings import Finding, Summary, error
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument

FORMAT: Final = "jointsoc-check 4"
MAX_REMEMBERED: Final = 20_000
"""Files."""


class Checked(NamedTuple):
    """What a check found and how much it looked at."""

    findings: list[Finding]
    documents: int
    files: int


def check_rules(
    paths: Sequence[Path],
    registry: MemberRegistry,
    placeholders: Placeholders,
    *,
    memory: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Checked:
    """Check every rule of files and folders.

    Args:
        paths: rule files and folders.
        registry: the members; may be empty.
        placeholders: values for `expand`, beside those of `*.lists.yaml` files.
        memory: file with what earlier checks found, by content; read, and written anew.
        on_progress: told how many files are done, and of how many.

    Raises:
        ConfigError: a path that is not there.
    """
    values = with_lists(paths, placeholders)
    known = _recall(memory)
    reports: list[FileReport] = []
    sound: dict[str, FileReport] = {}
    """By content."""
    others: list[RuleDocument] = []
    files = rule_files(paths)
    seed = blake2b(repr((_release(), sorted(values.items()))).encode(), digest_size=16).digest()
    for done, path in enumerate(files):
        on_progress(done, len(files))
        try:
            content = read_file(path)
        except RuleError as problem:
            reports.append(FileReport([error(problem)], [], others=False, documents=0))
            continue
        key = blake2b(str(path).encode() + b"\0" + content, key=seed, digest_size=16).hexdigest()
        report = sound[key] = known.get(key) or check_file(path, values)
        reports.append(report)
        if report.others and not any(one.severity == "error" for one in report.findings):
            others += (one for one in read_documents(path) if one.kind != "detection")
    on_progress(len(files), len(files))
    _remember(memory, sound, known)
    found = [finding for report in reports for finding in report.findings]
    detections: list[Summary] = [one for report in reports for one in report.detections]
    found += check_all(detections, others, registry, values)
    return Checked(found, sum(report.documents for report in reports), len(files))


def _release() -> str:
    return f"{FORMAT} {version('jointsoc')} {version('pysigma')}"


def _recall(memory: Path | None) -> dict[str, FileReport]:
    """What earlier checks found; a damaged or foreign memory is none."""
    try:
        return msgspec.msgpack.decode(memory.read_bytes(), type=dict[str, FileReport]) if memory else {}
    except (OSError, msgspec.DecodeError):
        return {}


def _remember(memory: Path | None, reports: dict[str, FileReport], known: dict[str, FileReport]) -> None:
    """Keep these reports and, up to a bound, those of other files; a memory that cannot be written is done without."""
    if memory is None or reports.keys() <= known.keys():
        return
    older = list(known.items())[-max(0, MAX_REMEMBERED - len(reports)) :]
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.msgpack.encode(dict(older) | reports))
        draft.replace(memory)
