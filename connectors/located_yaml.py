"""YAML that remembers its lines, so that an error in a configuration names `file:line: key`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import ConfigError

MAX_BYTES: Final = 1024 * 1024

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where the wheel has it: ten times quicker."""

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value."""


class LocatedYaml:
    """One YAML document and the line of every value in it.

    Args:
        path: the file.

    Raises:
        ConfigError: unreadable, too large, not YAML, an alias, or a key given twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = _read(path)
        self._lines: dict[Place, int] = {}
        self._nodes: set[int] = set()
        loader = _Loader(self.text)
        try:
            node = loader.get_single_node()
            self.data = None if node is None else self._build(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise ConfigError(where, f"not YAML: {error.problem or error.context}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(str(path), f"not YAML: {error}") from error
        finally:
            loader.dispose()

    def line(self, *place: str | int) -> int:
        """The line of a value, counted from 1; of its nearest known parent where it has none."""
        known: Place = ()
        for part in place:  # pydantic puts names of union members into the place: they are no keys, and skipped
            if (*known, part) in self._lines:
                known = (*known, part)
        return self._lines.get(known, 1)

    def where(self, *place: str | int) -> str:
        """`file:line: key.path`, as errors begin."""
        keys = ".".join(str(part) for part in place)
        return f"{self.path}:{self.line(*place)}" + (f": {keys}" if keys else "")

    def read_as(self, model: type[Model]) -> Model:
        """The document as a model.

        Raises:
            ConfigError: it is not one; names the first offending key and its line.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            first = error.errors()[0]
            problem = first["msg"].removeprefix("Value error, ")
            got = None if isinstance(first.get("input"), dict | list) else repr(first.get("input"))
            raise ConfigError(self.where(*first["loc"]), problem, got=got) from error

    def _build(self, loader: Any, node: yaml.Node, place: Place) -> Any:
        if id(node) in self._nodes:  # aliases can make a kilobyte mean a gigabyte, and no configuration needs them
            raise ConfigError(f"{self.path}:{node.start_mark.line + 1}", "YAML aliases are not allowed")
        self._nodes.add(id(node))
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(loader, node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*place, index)) for index, item in enumerate(node.value)]
        return loader.construct_object(node)

    def _build_mapping(self, loader: Any, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self.path}:{line}", "a key must be plain text")
            key = loader.construct_object(key_node)
            if key in result:
                raise ConfigError(f"{self.path}:{line}", f"the key {key!r} is given twice")
            self._lines[(*place, key)] = line
            result[key] = self._build(loader, value_node, (*place, key))
        return result


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(str(path), f"cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "not UTF-8 text", got=f"byte {error.start}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(str(path), "too large", got=f"more than {MAX_BYTES} bytes")
    return text
