"""Coverage as a layer for the ATT&CK Navigator: how many rules can fire for each technique, and which cannot yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pipeline.workbench.attack import ATTACK_RELEASE, techniques_of

LAYER_VERSION: Final = "4.5"
_NAVIGATOR_VERSION: Final = "5.1.0"
_BLIND, _COVERED = "#e8b0a8", "#3f7f5f"


class TaggedRule(NamedTuple):
    """A rule as a layer shows it."""

    title: str
    tags: tuple[str, ...]
    fires: bool
    note: str = ""
    """Why it cannot fire."""


def navigator_layer(name: str, description: str, rules: Iterable[TaggedRule]) -> dict[str, Any]:
    """The layer: the score of a technique is the number of rules for it that can fire; 0 is a blind spot with rules."""
    found: dict[str, list[TaggedRule]] = {}
    for rule in rules:
        for technique in dict.fromkeys(techniques_of(rule.tags)):
            found.setdefault(technique, []).append(rule)
    techniques = [_technique(technique, found[technique]) for technique in sorted(found)]
    return {
        "name": name,
        "description": description,
        "domain": "enterprise-attack",
        "versions": {"attack": ATTACK_RELEASE, "navigator": _NAVIGATOR_VERSION, "layer": LAYER_VERSION},
        "techniques": techniques,
        "gradient": {
            "colors": [_BLIND, _COVERED],
            "minValue": 0,
            "maxValue": max([1, *(each["score"] for each in techniques)]),
        },
        "legendItems": [
            {"label": "rules are there, but none can fire", "color": _BLIND},
            {"label": "most rules that can fire", "color": _COVERED},
        ],
    }


def _technique(technique: str, rules: list[TaggedRule]) -> dict[str, Any]:
    lines = [f"{rule.title}: {'can fire' if rule.fires else rule.note or 'cannot fire'}" for rule in rules]
    return {
        "techniqueID": technique,
        "score": sum(rule.fires for rule in rules),
        "comment": "\n".join(sorted(set(lines))),
        "enabled": True,
        # A sub-technique is shown only where its parent is open.
        "showSubtechniques": True,
    }
