"""Whether exactly the expected alerts came: what a run added to the index, against what its stories promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from deploy.demo.story import ExpectedAlert
from schemas.alert import Alert


class Difference(NamedTuple):
    """One thing that is not as expected."""

    alert: str
    """Rule and key."""
    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Growth:
    """What a run added to one alert. Without a group key, a second run soon after the first adds to the same alert."""

    alert: Alert
    members: dict[str, int]
    """New events of each member, in order of spread; members without any are left out."""

    @property
    def events(self) -> int:
        """New events of all members."""
        return sum(self.members.values())

    @property
    def groups(self) -> int:
        """Distinct corporate groups with new events."""
        return len({member.group for member in self.alert.jointsoc.members if member.id in self.members})


def growth(found: Iterable[Alert], before: Mapping[str, Alert]) -> list[Growth]:
    """What was added since `before` (id -> alert); alerts that did not grow are left out, superseded ones too."""
    grown = []
    for alert in found:
        known = {member.id: member.count for member in before[alert.id].jointsoc.members} if alert.id in before else {}
        added = {member.id: member.count - known.get(member.id, 0) for member in alert.jointsoc.members}
        members = {member: count for member, count in added.items() if count > 0}
        if members and alert.jointsoc.alert.state != "superseded":
            grown.append(Growth(alert, members))
    return grown


def differences(
    expected: Iterable[ExpectedAlert], grown: Iterable[Growth], names: Mapping[str, str]
) -> list[Difference]:
    """Everything that is missing, unexpected or not as it should be; empty when the run did exactly what it promised.

    Args:
        expected: of the run's stories.
        grown: of the run.
        names: rule id -> rule name.
    """
    waiting = {_key(alert.rule, alert.group_by): alert for alert in expected}
    differing: list[Difference] = []
    for item in grown:
        rule = item.alert.rule
        key = _key(names.get(rule.uuid, rule.uuid), item.alert.jointsoc.group_by)
        promised = waiting.pop(key, None)
        if promised is None:
            differing.append(Difference(key, "alert", "none", item.alert.message))
        else:
            differing += _compare(key, promised, item)
    differing += [Difference(key, "alert", _spread(alert.members), "none") for key, alert in waiting.items()]
    return differing


def _compare(key: str, promised: ExpectedAlert, item: Growth) -> list[Difference]:
    pairs = (
        ("level", promised.level, item.alert.jointsoc.alert.level),
        ("members in order", " → ".join(promised.members), " → ".join(item.members)),
        ("events by member", _counts(promised.members), _counts(item.members)),
        ("corporate groups", str(promised.groups), str(item.groups)),
        ("exact", "True", str(item.alert.jointsoc.alert.exact)),
    )
    return [Difference(key, what, wanted, got) for what, wanted, got in pairs if wanted != got]


def _key(rule: str, group_by: Mapping[str, str]) -> str:
    return " ".join((rule, *(f"{field}={value}" for field, value in sorted(group_by.items()))))


def _counts(members: Mapping[str, int]) -> str:
    return _spread(dict(sorted(members.items())))


def _spread(members: Mapping[str, int]) -> str:
    return ", ".join(f"{member} {count}" for member, count in members.items())
