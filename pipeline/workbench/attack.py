"""MITRE ATT&CK: the one release whose tactics and techniques the tags of rules are those of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

ATTACK_RELEASE: Final = "19"
"""It has `stealth` and `defense-impairment` in the place of defence evasion."""
# fmt: off
TACTICS: Final = frozenset({
    "reconnaissance", "resource-development", "initial-access", "execution", "persistence", "privilege-escalation",
    "stealth", "defense-impairment", "credential-access", "discovery", "lateral-movement", "collection",
    "command-and-control", "exfiltration", "impact",
})
# fmt: on
_PREFIX: Final = "attack."
_TECHNIQUE: Final = re.compile(r"t\d{4}(\.\d{3})?", re.ASCII)
_REVOKED: Final = re.compile(r"t1562(\.\d{3})?|t1070\.00[12]", re.ASCII)
"""What defence evasion had: T1685 and those below it took their place."""
_OTHER: Final = re.compile(r"[gs]\d{4}|ds\d{4}", re.ASCII)


def is_strange(tag: str) -> bool:
    """Whether a tag claims to be one of ATT&CK and cannot be.

    >>> is_strange("attack.t1190"), is_strange("tlp.amber"), is_strange("attack.t1562.001")
    (False, False, True)
    """
    name = tag.lower().removeprefix(_PREFIX)
    if name == tag.lower():
        return False
    is_technique = _TECHNIQUE.fullmatch(name) and not _REVOKED.fullmatch(name)
    return name not in TACTICS and not is_technique and not _OTHER.fullmatch(name)


def techniques_of(tags: Iterable[str]) -> Iterator[str]:
    """The techniques that tags name, as ATT&CK writes them.

    >>> list(techniques_of(["attack.t1110.004", "attack.credential-access"]))
    ['T1110.004']
    """
    for tag in tags:
        name = tag.lower().removeprefix(_PREFIX)
        if name != tag.lower() and _TECHNIQUE.fullmatch(name):
            yield name.upper()
