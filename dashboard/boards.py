"""What the boards show, as pure functions over what is known: rules, and how well the centre works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.alert_index import LEVELS
from schemas.alert import Alert
from schemas.finding import FindingDocument
from schemas.health import PartitionAccount
from schemas.times import from_rfc3339
from schemas.workflow import Deed, Workflow

FEW: Final = 5
"""With fewer answers a percentage would say more than is known."""
AGES: Final = (3_600_000, 4 * 3_600_000, 24 * 3_600_000, 7 * 86_400_000)
"""Columns of the age grid, ms."""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule: how often it fired, and what members said."""

    id: str
    title: str
    level: str
    fired: int
    confirmed: int = 0
    false_alarm: int = 0
    cannot_tell: int = 0

    @property
    def precision(self) -> int | None:
        """Confirmed of those that could be told, per cent; None with fewer than `FEW` of them."""
        told = self.confirmed + self.false_alarm
        return round(100 * self.confirmed / told) if told >= FEW else None


@dataclass(frozen=True, slots=True)
class TacticCell:
    """One ATT&CK tactic: alerts, and rules that cover it."""

    name: str
    fired: int
    rules: int


def rule_lines(
    rules: Iterable[tuple[str, str, str]], fired: Mapping[str, int], verdicts: Mapping[str, Mapping[str, int]]
) -> list[RuleLine]:
    """A line for each rule that can alert, those that fired most first; never fired ones last, by title.

    Args:
        rules: id, title and level of each rule in the pack.
        fired: rule id -> number of alerts; rules that left the pack are shown too.
        verdicts: rule id -> verdict -> number of answers.
    """
    known = {identity: (title, level) for identity, title, level in rules}
    lines = []
    for identity in known.keys() | fired.keys():
        title, level = known.get(identity, (identity, ""))
        said = verdicts.get(identity, {})
        lines.append(
            RuleLine(
                identity,
                title,
                level,
                fired.get(identity, 0),
                said.get("confirmed", 0),
                said.get("false_alarm", 0),
                said.get("cannot_tell", 0),
            )
        )
    return sorted(lines, key=lambda line: (-line.fired, line.title, line.id))


def tactic_cells(tags: Iterable[Iterable[str]], fired: Mapping[str, int]) -> list[TacticCell]:
    """A cell for each tactic that a rule names or an alert came from.

    Args:
        tags: of each rule, as Sigma writes them (`attack.credential-access`).
        fired: tactic name -> number of alerts.
    """
    rules: dict[str, int] = {}
    for of_rule in tags:
        for name in {tag.removeprefix("attack.").replace("_", "-") for tag in of_rule if _is_tactic(tag)}:
            rules[name] = rules.get(name, 0) + 1
    return [TacticCell(name, fired.get(name, 0), rules.get(name, 0)) for name in sorted(rules.keys() | fired.keys())]


def _is_tactic(tag: str) -> bool:
    name = tag.removeprefix("attack.")
    return tag.startswith("attack.") and not (name[:1] in "tgs" and name[1:2].isdigit())


@dataclass(frozen=True, slots=True)
class AgeRow:
    """How many alerts of one level wait, by how long: one number for each of `AGES`, then the older ones."""

    level: str
    counts: tuple[int, ...]


def age_rows(waiting: Iterable[Alert], now: int) -> list[AgeRow]:
    """The ages of what is to do, most urgent level first."""
    counts = {level: [0] * (len(AGES) + 1) for level in LEVELS}
    for alert in waiting:
        age = now - from_rfc3339(alert.event.end)
        column = next((i for i, most in enumerate(AGES) if age <= most), len(AGES))
        counts[alert.jointsoc.alert.level][column] += 1
    return [AgeRow(level, tuple(counts[level])) for level in LEVELS]


def latencies(alerts: Iterable[Alert]) -> list[int]:
    """From the last hit of each alert to the making of its revision, ms, ascending.

    Settled revisions are left out: they wait for the watermark on purpose.
    """
    return sorted(
        max(0, from_rfc3339(alert.event.created) - from_rfc3339(alert.event.end))
        for alert in alerts
        if alert.jointsoc.alert.state == "open"
    )


def times_to(deed: Deed, alerts: Sequence[Alert], workflows: Mapping[str, Workflow]) -> list[int]:
    """From the making of each alert to the first such deed of a person, ms, ascending."""
    found = []
    for alert in alerts:
        first = next((e for e in workflows[alert.id].history if e.deed == deed and e.who), None)
        if first is not None:
            found.append(max(0, from_rfc3339(first.at) - from_rfc3339(alert.event.created)))
    return sorted(found)


def percentile(ascending: Sequence[int], per_cent: int) -> int | None:
    """The nearest-rank percentile; None of nothing.

    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 95), percentile([], 50)
    (2, 4, None)
    """
    return ascending[max(0, -(-len(ascending) * per_cent // 100) - 1)] if ascending else None


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of every line read; `difference` is 0 if nothing is lost."""

    lines: int
    evaluated: int
    dead: int
    late: int
    matched: int

    @property
    def difference(self) -> int:
        """Lines that are neither evaluated nor dead."""
        return self.lines - self.evaluated - self.dead


def balance(accounts: Iterable[PartitionAccount]) -> Balance:
    """The sum over all partitions."""
    known = list(accounts)
    return Balance(
        sum(a.lines for a in known),
        sum(a.evaluated for a in known),
        sum(a.dead for a in known),
        sum(a.late for a in known),
        sum(a.matched for a in known),
    )


def overdue(waiting: Iterable[FindingDocument], now: str) -> list[FindingDocument]:
    """Findings whose deadline is over, longest first."""
    late = [document for document in waiting if document.finding.deadline < now]
    return sorted(late, key=lambda document: document.finding.deadline)
