"""Rule files to documents: YAML read with a line for every key, hostile YAML refused.

title: A        ->  RuleDocument(path, line=1, kind="detection", data={"title": "A", ...},
detection: ...                   lines={("title",): 1, ("detection",): 2, ...})
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from yaml.reader import ReaderError

from schemas.errors import ConfigError, RuleError
from schemas.rule_document import RuleDocument

SUFFIXES: Final = (".yml", ".yaml")
CASES_SUFFIX: Final = ".cases.yaml"
"""Test cases may lie beside the rules: `.yaml`, which pySigma leaves alone."""
LISTS_SUFFIX: Final = ".lists.yaml"
"""So may values for placeholders."""
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_NODES: Final = 100_000
"""Keys and values of one document after its aliases are followed; the largest known rule has under 5,000."""
MAX_DEPTH: Final = 40
HARMLESS_DEPTH: Final = 2_000
"""Levels that libyaml composes on any stack."""

_COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

_MATCHED: Final = frozenset({"detection", "filter"})
"""Sections whose values are compared with events."""

Place = tuple[str | int, ...]


def load_documents(paths: Sequence[Path], *, problems: list[RuleError] | None = None) -> list[RuleDocument]:
    """Read every rule document of files and folders, in the order of their names.

    Args:
        paths: `.yml`/`.yaml` files, or folders searched with their subfolders (hidden ones left out).
        problems: if given, files that cannot be read are noted here and skipped, instead of raised.

    Raises:
        RuleError: `file:line`: not YAML, a key twice, an alias bomb, neither detection nor correlation nor filter.
        ConfigError: a path that is not there, or no rule file at all.
    """
    documents: list[RuleDocument] = []
    for path in rule_files(paths):
        try:
            documents.extend(read_documents(path))
        except RuleError as problem:
            if problems is None:
                raise
            problems.append(problem)
    return documents


def rule_files(paths: Sequence[Path]) -> list[Path]:
    """The rule files that the paths name, each once.

    Raises:
        ConfigError: a path that is not there, or no rule file at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_file():
            found[path] = None
        elif path.is_dir():
            found.update((file, None) for file in sorted(path.rglob("*")) if _is_rule_file(file, path))
        else:
            raise ConfigError(str(path), "no such file or folder", expected="rules")
    if not found:
        raise ConfigError(" ".join(map(str, paths)), "no rules here", expected=f"{' or '.join(SUFFIXES)} files")
    return list(found)


def _is_rule_file(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return (
        file.suffix in SUFFIXES
        and not hidden
        and not file.name.endswith((CASES_SUFFIX, LISTS_SUFFIX))
        and file.is_file()
    )


def read_documents(path: Path) -> Iterator[RuleDocument]:
    """The documents of one file; empty documents are skipped.

    Raises:
        RuleError: as `load_documents`.
    """
    raw = read_file(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{raw[error.start]:02x}"
        raise RuleError(f"{path}:{line}", "not UTF-8", got=got, hint="saving the file as UTF-8") from error
    yield from documents_in(text, path)


def read_file(path: Path) -> bytes:
    """A rule file as it is stored.

    Raises:
        RuleError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RuleError(str(path), f"cannot read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise RuleError(f"{path}:1", "too large for a rule file", expected=f"at most {MAX_FILE_BYTES} bytes")
    return raw


def documents_in(text: str, path: Path) -> Iterator[RuleDocument]:
    """The documents of a text; the path is for errors.

    Raises:
        RuleError: as `load_documents`.
    """
    loader: yaml.CSafeLoader | None = None
    try:
        _check_depth(text, path)
        loader = yaml.CSafeLoader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not (isinstance(node, yaml.ScalarNode) and not node.value):
                yield _document(path, node, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # At the end of a text without a last newline libyaml counts one line more.
        lines = f"{text} ".splitlines()
        line = min(mark.line, len(lines) - 1) if mark else 0
        hint = "blanks in the place of the tab" if mark and "\t" in lines[line][: mark.column + 1] else None
        raise RuleError(f"{path}:{line + 1}", f"not YAML: {error.problem}", hint=hint) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RuleError(f"{path}:{line}", f"not YAML: {str(error).splitlines()[0]}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _check_depth(text: str, path: Path) -> None:
    """Refuse what is nested too deeply before libyaml's composer sees it: that recurses until the process crashes.

    Only a text that could be so deep is looked at: a level takes a bracket, or a character of indentation.
    """
    if text.count("[") + text.count("{") + 2 * max(map(len, text.splitlines()), default=0) < HARMLESS_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH + 1:
                where = f"{path}:{event.start_mark.line + 1 if event.start_mark else 1}"
                raise RuleError(where, "nested too deeply", expected=f"at most {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _document(path: Path, node: yaml.Node, loader: yaml.CSafeLoader) -> RuleDocument:
    reader = _NodeReader(path, loader)
    data = reader.value(node, ())
    line = node.start_mark.line + 1
    if not isinstance(data, dict):
        raise RuleError(f"{path}:{line}", "not a rule", got=type(data).__name__, expected="keys and values")
    return RuleDocument(path, line, _kind(data, f"{path}:{line}"), data, reader.lines, reader.written)


def _kind(data: dict[str, Any], where: str) -> Literal["detection", "correlation", "filter"]:
    if "action" in data:
        raise RuleError(
            where,
            "`action` documents are not part of Sigma 2",
            got=data["action"],
            hint="write each rule out, or use a correlation",
        )
    for kind in ("correlation", "filter", "detection"):
        if kind in data:
            return kind
    raise RuleError(where, "not a rule", got=sorted(data)[:8], expected="a key detection, correlation or filter")


class _NodeReader:
    """YAML nodes to Python values; counts what it makes, so that a small file cannot become a large document."""

    def __init__(self, path: Path, loader: yaml.CSafeLoader) -> None:
        self._path = path
        self._loader = loader
        self._nodes = 0
        self.lines: dict[Place, int] = {}
        self.written: dict[Place, str] = {}

    def value(self, node: yaml.Node, place: Place) -> Any:
        self._nodes += 1
        where = f"{self._path}:{node.start_mark.line + 1}"
        if self._nodes > MAX_NODES:
            raise RuleError(where, "too many values, aliases followed", expected=f"at most {MAX_NODES}")
        if len(place) > MAX_DEPTH:
            raise RuleError(where, "nested too deeply", expected=f"at most {MAX_DEPTH} levels")
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            raise RuleError(where, "not YAML: an unknown tag", got=node.tag)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*place, index)) for index, item in enumerate(node.value)]
        value = self._scalar(node)
        if place and place[0] in _MATCHED and isinstance(value, bool | int | float | date):
            # No event holds a date; a number or a boolean may be meant, or the text: both are kept.
            if isinstance(value, date):
                return node.value
            if node.value.lower() != str(value).lower():
                self.written[place] = node.value
        return value

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML lets these escape where a tag or a form (`!!bool x`, `2024-99-99`) does not fit the text.
            where = f"{self._path}:{node.start_mark.line + 1}"
            raise RuleError(where, f"not a value: {error}", got=node.value) from error

    def _item(self, node: yaml.Node, place: Place) -> Any:
        self.lines[place] = node.start_mark.line + 1
        return self.value(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                got = str(key_node.value)
                raise RuleError(f"{self._path}:{line}", "a key must be text", got=got, hint=f'write "{got[:40]}"')
            if key in found:
                raise RuleError(f"{self._path}:{line}", "this key is there twice", got=key, expected="each key once")
            self.lines[(*place, key)] = line
            found[key] = self.value(value_node, (*place, key))
        return found
