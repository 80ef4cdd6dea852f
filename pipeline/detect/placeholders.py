"""`expand`: the placeholders of a rule replaced by the values a site gives them.

user|expand: '%admins%'      with {"admins": ["root", "adm-*"]}          ->  user: [root, adm-*]
source.ip|expand: '%ours%'   with {"ours|cidr": ["192.0.2.0/24", ...]}   ->  source.ip|cidr: [192.0.2.0/24, ...]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from sigma.exceptions import SigmaValueError
from sigma.modifiers import SigmaExpandModifier
from sigma.types import Placeholder, SigmaCIDRExpression, SigmaExpansion, SigmaRegularExpression, SigmaString, SigmaType

from pipeline.detect.load import LISTS_SUFFIX
from pipeline.detect.lower import place_of
from pipeline.detect.modifiers import ENCODING, Pattern
from schemas.errors import ConfigError, RuleError, printable

Placeholders = Mapping[str, Sequence[str]]

MAX_EXPANDED = 10_000
NETWORKS = "|cidr"
"""Ends the name of a list of networks. pySigma refuses `cidr` on a placeholder, so the list says it, not the rule."""


def load_placeholders(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a placeholder file: YAML, `name: [value, ...]`, with Sigma's wildcards, or `name|cidr: [network, ...]`.

    Raises:
        ConfigError: the file is missing or something else.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the placeholders: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), "not placeholders", got=type(data).__name__, expected="name: [value, ...]")
    found = {}
    for name, values in data.items():
        listed = values if isinstance(values, list) else [values]
        if not isinstance(name, str) or not listed or not all(isinstance(value, str | int) for value in listed):
            raise ConfigError(f"{path}: {name}", "not a placeholder", got=values, expected="a list of texts")
        found[name] = tuple(str(value) for value in listed)
        if name.endswith(NETWORKS):
            _check_networks(f"{path}: {name}", found[name])
    return found


def with_lists(paths: Sequence[Path], given: Placeholders | None = None) -> dict[str, Sequence[str]]:
    """The values that rule folders bring in `*.lists.yaml` files, and those given, which come first.

    Raises:
        ConfigError: a damaged list, or a name in two of them.
    """
    found: dict[str, Sequence[str]] = {}
    for path in paths:
        for file in sorted(path.rglob(f"*{LISTS_SUFFIX}")) if path.is_dir() else ():
            for name, values in load_placeholders(file).items():
                if found.setdefault(name, values) is not values:
                    raise ConfigError(f"{file}: {name}", "another list has this name", expected="a name of its own")
    return found | dict(given or {})


def _check_networks(where: str, networks: Sequence[str]) -> None:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ConfigError(where, "not a network", got=network, expected="such as 192.0.2.0/24") from error


def expand_with(placeholders: Placeholders) -> type[SigmaExpandModifier]:
    """The modifier `expand` with a site's values; pySigma leaves them to its pipelines, behind all other modifiers.

    Several values are alternatives, under `all` too. Modifiers behind `expand` see the values.
    """

    class Expand(SigmaExpandModifier):
        """Placeholders replaced; one without values is a `RuleError`: the rule cannot be honoured."""

        def modify(self, val: SigmaString | SigmaRegularExpression) -> SigmaType:  # type: ignore[override]
            if not ENCODING.isdisjoint(self.applied_modifiers):
                raise SigmaValueError("expand must stand before modifiers that encode the value", source=self.source)
            return filled(val.insert_placeholders(), placeholders, place_of(self.source))

    return Expand


def filled(value: SigmaString | SigmaRegularExpression, placeholders: Placeholders, where: str) -> SigmaType:
    """A value with its placeholders replaced, an expansion where several values come of it.

    Raises:
        RuleError: a placeholder without values, or too many combinations.
    """
    if not value.contains_placeholder():
        return value
    text = value if isinstance(value, SigmaString) else value.regexp
    networks = _networks(text, placeholders, where)
    if networks is not None:
        return SigmaExpansion([SigmaCIDRExpression(network) for network in networks])
    choices = [list(_choices(part, placeholders, where)) for part in text.s]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_EXPANDED:
        raise RuleError(where, "too many combinations of placeholder values", got=count, expected=f"<= {MAX_EXPANDED}")
    found: list[SigmaType] = []
    for combination in product(*choices):
        whole = type(text)()
        whole.s = [piece for pieces in combination for piece in pieces]
        whole._merge_strs()
        found.append(Pattern(str(whole), value.flags) if isinstance(value, SigmaRegularExpression) else whole)
    return found[0] if len(found) == 1 else SigmaExpansion(found)


def _networks(text: SigmaString, placeholders: Placeholders, where: str) -> Sequence[str] | None:
    """The networks that a value stands for; None if it is text."""
    named = [part.name for part in text.s if isinstance(part, Placeholder)]
    lists = [name for name in named if name not in placeholders and name + NETWORKS in placeholders]
    if lists and len(text.s) > 1:
        told = f"%{printable(lists[0])}% is a list of networks and stands alone"
        raise RuleError(where, told, hint="`expand` without other modifiers")
    return placeholders[lists[0] + NETWORKS] if lists else None


def _choices(part: Any, placeholders: Placeholders, where: str) -> Iterator[list[Any]]:
    """What may stand in the place of one part of a value, each as a list of parts."""
    if not isinstance(part, Placeholder):
        yield [part]
    elif part.name not in placeholders:
        raise RuleError(
            where,
            f"placeholder %{printable(part.name)}% has no values",
            hint="give a placeholder file (--placeholders), or --skip-unsupported",
        )
    else:
        for text in placeholders[part.name]:
            yield list(SigmaString(text).s)
