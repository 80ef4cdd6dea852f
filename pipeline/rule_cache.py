"""Compiled detections by the content of their files: a second build compiles only what changed.

One file, `rules.cache`: a line that names the format, a hash, msgpack. A file that is damaged, of another format, or of
another user is no cache; the next build writes it anew. The key of an entry holds all that its plans depend on: the
file's name and bytes, the values of placeholders, and the compiler itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

import pipeline.detect
import schemas
from pipeline.detect.compile import Place
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import Taxonomy
from schemas.rule_document import RuleDocument

FILE_NAME: Final = "rules.cache"
MAGIC: Final = b"jointsoc-rule-cache 1\n"
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of the plans; twelve times those of SigmaHQ. What was used longest ago goes first."""
_DIGEST: Final = 16
_HEAD: Final = ("id", "name", "title")


class _Rule(msgspec.Struct, array_like=True):
    line: int
    id_line: int
    head: dict[str, str]
    """Id, name and title, as far as the document has them: what correlations want to know of it."""
    plan: msgspec.Raw


class _Entry(msgspec.Struct, array_like=True):
    used: int
    """Number of the last save before which it was used."""
    rules: list[_Rule]


class _Content(msgspec.Struct, array_like=True):
    saves: int
    entries: dict[bytes, _Entry]


def user_cache() -> Path:
    """Where this user's cache is, by the XDG convention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jointsoc"


class RuleCache:
    """The cache in one folder, for one build.

    Args:
        folder: is made when there is something to keep.
        max_bytes: of the plans.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._max_bytes = max_bytes
        self._content = _read(self._path) or _Content(0, {})
        self._used: set[bytes] = set()
        self._missed: dict[Path, bytes] = {}
        self._settings = b""

    def begin(self, placeholders: Mapping[str, Iterable[str]], taxonomy: Taxonomy = "sigma") -> None:
        """Name what the build's plans depend on beside their files."""
        named = sorted((name, list(values)) for name, values in placeholders.items())
        self._settings = msgspec.msgpack.encode((named, taxonomy))

    def find(self, path: Path) -> list[tuple[RuleDocument, DetectionPlan]] | None:
        """The detections of a file, if just these bytes were compiled before; the documents are heads alone."""
        key = self._key(path)
        entry = self._content.entries.get(key)
        if entry is not None:
            try:
                found = [(_document(path, rule), _plan(rule.plan)) for rule in entry.rules]
            except msgspec.DecodeError:
                found = []
            if found:
                self._used.add(key)
                return found
        self._missed[path] = key
        return None

    def keep(self, documents: Iterable[RuleDocument], plans: Mapping[Place, DetectionPlan]) -> None:
        """Remember the files that were not found, as far as they hold nothing but detections that compiled."""
        for path, group in groupby(documents, key=lambda document: document.path):
            key = self._missed.get(path)
            if key is None or self._key(path) != key:  # found, or written to meanwhile
                continue
            rules = []
            for document in group:
                plan = plans.get((path, document.line))
                if plan is None:
                    break
                rules.append(_rule(document, plan))
            else:
                self._content.entries[key] = _Entry(0, rules)
                self._used.add(key)

    def save(self) -> None:
        """Write the cache, if anything was added.

        Raises:
            OSError: the folder cannot be written.
        """
        if not any(key in self._content.entries for key in self._missed.values()):
            return
        self._content.saves += 1
        for key in self._used:
            self._content.entries[key].used = self._content.saves
        self._evict()
        payload = msgspec.msgpack.encode(self._content)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f"{FILE_NAME}.{os.getpid()}.draft")
        draft.write_bytes(MAGIC + blake2b(payload, digest_size=_DIGEST).digest() + payload)
        draft.replace(self._path)

    def _evict(self) -> None:
        taken, kept = 0, {}
        newest_first = sorted(self._content.entries.items(), key=lambda item: -item[1].used)
        for key, entry in newest_first:
            taken += sum(len(rule.plan) for rule in entry.rules)
            if taken <= self._max_bytes:
                kept[key] = entry
        self._content.entries = kept

    def _key(self, path: Path) -> bytes:
        key = blake2b(_compiler(), digest_size=_DIGEST)
        try:
            raw = path.read_bytes()
        except OSError:
            raw = b""
        for part in (self._settings, path.name.encode("utf-8", "surrogateescape"), raw):
            key.update(len(part).to_bytes(8) + part)
        return key.digest()


@cache
def _compiler() -> bytes:
    """What compiles: our code, pySigma, Python."""
    digest = blake2b(f"{sys.version_info[:2]} {version('pysigma')} {version('msgspec')}".encode(), digest_size=_DIGEST)
    for package in (pipeline.detect, schemas):
        for folder in sorted(package.__path__):
            for file in sorted(Path(folder).rglob("*.*")):
                if file.suffix in (".py", ".yml"):
                    digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.digest()


def _read(path: Path) -> _Content | None:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None  # somebody else's rules
            data = file.read()
    except OSError:
        return None
    hashed = data.removeprefix(MAGIC)
    digest, payload = hashed[:_DIGEST], hashed[_DIGEST:]
    if len(hashed) == len(data) or digest != blake2b(payload, digest_size=_DIGEST).digest():
        return None
    try:
        return msgspec.msgpack.decode(payload, type=_Content)
    except msgspec.DecodeError:
        return None


def _rule(document: RuleDocument, plan: DetectionPlan) -> _Rule:
    head = {key: str(document.data[key]) for key in _HEAD if document.data.get(key)}
    line = int(document.where("id").rpartition(":")[2])
    return _Rule(document.line, line, head, msgspec.Raw(msgspec.msgpack.encode(plan)))


def _document(path: Path, rule: _Rule) -> RuleDocument:
    return RuleDocument(path, rule.line, "detection", dict(rule.head), {("id",): rule.id_line})


def _plan(raw: msgspec.Raw) -> DetectionPlan:
    return msgspec.msgpack.decode(raw, type=DetectionPlan)
