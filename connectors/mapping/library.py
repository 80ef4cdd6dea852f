"""Finds a mapping's file, reads it, and makes it ready to run."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

from connectors.located_yaml import LocatedYaml
from connectors.mapping.compiled import CompiledMapping, MappingFault, Surroundings
from connectors.mapping.document import MappingDocument
from schemas.errors import ConfigError

SHIPPED: Final = Path(str(files("connectors").joinpath("mappings")))
"""The folder of the mappings that come with the forwarder."""


class MappingFile:
    """One mapping as it stands in its file.

    Args:
        path: the file.

    Raises:
        ConfigError: unreadable, or not a mapping; names file, line and key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.yaml = LocatedYaml(path)
        self.document = self.yaml.read_as(MappingDocument)

    @property
    def digest(self) -> str:
        """SHA-256 of the file's text."""
        return sha256(self.yaml.text.encode()).hexdigest()

    def compile(self, around: Surroundings) -> CompiledMapping:
        """The mapping, ready to run.

        Raises:
            ConfigError: a pattern, a field or a key in it that cannot be; names file, line and key.
        """
        self._check_include(around)
        try:
            return CompiledMapping(self.document, around)
        except MappingFault as fault:
            raise ConfigError(self.yaml.where(*fault.place), fault.problem) from fault

    def opt_in_fields(self) -> frozenset[str]:
        """Fields that leave only when an input includes them."""
        contents = (self.document, *self.document.rules)
        return frozenset(name for content in contents for name, move in content.map.items() if move.opt_in)

    def _check_include(self, around: Surroundings) -> None:
        unknown = sorted((around.include or frozenset()) - self.opt_in_fields())
        if unknown:
            raise ConfigError(
                f"include of an input with mapping {self.document.name}",
                "not among the mapping's opt-in fields",
                got=", ".join(unknown),
                expected=", ".join(sorted(self.opt_in_fields())) or "none: it has no such field",
            )


def find_mapping(name: str) -> MappingFile:
    """The shipped mapping of that name, or the file at that path.

    Raises:
        ConfigError: no such mapping, or one that is damaged.
    """
    if "/" in name or name.endswith((".yml", ".yaml")):
        return MappingFile(Path(name))
    path = SHIPPED / f"{name}.yml"
    if not path.is_file():
        raise ConfigError(
            f"mapping {name}", "no such mapping", expected=", ".join(shipped_names()), hint="the path of a .yml file"
        )
    return MappingFile(path)


def shipped_names() -> list[str]:
    """Names of the mappings that come with the forwarder."""
    return sorted(path.stem for path in SHIPPED.glob("*.yml"))
