"""A correlation in the few words that fit a line of the rules' board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboard.boards import TACTICS, slug
from dashboard.language import say
from dashboard.wording import DAY, counted, duration
from pipeline.correlate.correlation import Correlation
from schemas.alert import Alert
from schemas.times import from_rfc3339

DAYS = 7


def condition_text(rule: Correlation) -> str:
    """Its type, span, and how many corporate groups it wants."""
    parts = [rule.kind, duration(rule.timespan)]
    if rule.min_organizations > 1:
        parts.append(counted(rule.min_organizations, "group"))
    return say(", ").join(parts)


def tactic_text(tags: Sequence[str]) -> str:
    """The first tactic that its tags name.

    >>> tactic_text(["attack.t1110", "attack.credential-access"])
    'Credential access'
    """
    named = [slug(tag.removeprefix("attack.")) for tag in tags if tag.startswith("attack.")]
    return next((name.replace("-", " ").capitalize() for name in named if name in TACTICS), "")


def fired_by_day(alerts: Iterable[Alert], now: int) -> dict[str, list[int]]:
    """Rule uuid -> number of alerts on each of the last seven days, oldest first."""
    days: dict[str, list[int]] = {}
    for alert in alerts:
        age = (now - from_rfc3339(alert.event.end)) // DAY
        if 0 <= age < DAYS:
            days.setdefault(alert.rule.uuid, [0] * DAYS)[DAYS - 1 - age] += 1
    return days
