"""What the boards show, as pure functions over what is known: rules, and how well the centre works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.alert_query import LEVELS
from schemas.alert import Alert, Level
from schemas.finding import FindingDocument
from schemas.health import PartitionAccount
from schemas.times import from_rfc3339, to_rfc3339
from schemas.workflow import Deed, Workflow

Cells = dict[str, tuple[str, str]]
"""Name of a cell -> its text and its class: what changes while the page is open."""


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """What a board is asked for; each knows which values it takes, and has its own for others."""

    by: str = ""
    span: str = ""


FEW: Final = 5
"""With fewer answers a percentage would say more than is known."""
AGES: Final = (900_000, 3_600_000, 4 * 3_600_000, 24 * 3_600_000)
"""Columns of the age grid, ms."""
GOALS: Final[Mapping[Level, int]] = {
    "critical": 900_000,
    "high": 3_600_000,
    "medium": 4 * 3_600_000,
    "low": 24 * 3_600_000,
    "informational": 24 * 3_600_000,
}
"""Within how many ms an alert of each level should be acknowledged; each ends at a column of the age grid."""


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


TACTICS: Final = (
    "reconnaissance", "resource-development", "initial-access", "execution", "persistence", "privilege-escalation",
    "stealth", "defense-impairment", "defense-evasion", "credential-access", "discovery", "lateral-movement",
    "collection", "command-and-control", "exfiltration", "impact",
)  # fmt: skip
"""ATT&CK's order of columns; a tactic that neither a rule nor an alert names is shown only where ATT&CK has it now."""
RENAMED: Final = frozenset({"defense-evasion", "stealth", "defense-impairment"})


@dataclass(frozen=True, slots=True)
class TechniqueCell:
    """One technique in the column of a tactic."""

    id: str
    fired: int


@dataclass(frozen=True, slots=True)
class TacticCell:
    """One ATT&CK tactic: alerts, rules that cover it, and their techniques."""

    name: str
    fired: int
    rules: int
    techniques: tuple[TechniqueCell, ...] = ()


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


def tactic_cells(
    tags: Iterable[Iterable[str]], fired: Mapping[str, int], techniques: Mapping[str, int] | None = None
) -> list[TacticCell]:
    """A column for each tactic, with the techniques of the rules that name it.

    Args:
        tags: of each rule, as Sigma writes them (`attack.credential-access`, `attack.t1110.004`).
        fired: tactic name -> number of alerts; alerts write it `Credential Access`.
        techniques: technique id -> number of alerts.
    """
    alerts: dict[str, int] = {}
    for name, count in fired.items():
        alerts[slug(name)] = alerts.get(slug(name), 0) + count
    counts = {key.partition(".")[0].upper(): 0 for key in techniques or {}}
    for key, count in (techniques or {}).items():
        counts[key.partition(".")[0].upper()] += count
    rules: dict[str, int] = {}
    covered: dict[str, set[str]] = {}
    for of_rule in tags:
        own = techniques_of(of_rule)
        for name in {slug(tag.removeprefix("attack.")) for tag in of_rule if _is_tactic(tag)}:
            rules[name] = rules.get(name, 0) + 1
            covered.setdefault(name, set()).update(own)
    found = rules.keys() | alerts.keys()
    names = [name for name in TACTICS if name in found or (name not in RENAMED and techniques is not None)]
    names += sorted(found - set(TACTICS))
    return [
        TacticCell(
            name,
            alerts.get(name, 0),
            rules.get(name, 0),
            tuple(
                sorted(
                    (TechniqueCell(one, counts.get(one, 0)) for one in covered.get(name, ())),
                    key=lambda cell: (-cell.fired, cell.id),
                )
            ),
        )
        for name in names
    ]


def techniques_of(tags: Iterable[str]) -> set[str]:
    """The ATT&CK techniques that tags name, without their sub-techniques.

    >>> techniques_of(["attack.t1110.004", "attack.credential-access", "cve.2021-44228"])
    {'T1110'}
    """
    words = (tag.removeprefix("attack.") for tag in tags if tag.startswith("attack."))
    return {word.partition(".")[0].upper() for word in words if word[:1] == "t" and word[1:5].isdigit()}


def slug(name: str) -> str:
    """A tactic as tags write it.

    >>> slug("Credential Access"), slug("defense_evasion")
    ('credential-access', 'defense-evasion')
    """
    return name.lower().replace("_", "-").replace(" ", "-")


def _is_tactic(tag: str) -> bool:
    name = tag.removeprefix("attack.")
    return tag.startswith("attack.") and not (name[:1] in "tgs" and name[1:2].isdigit())


@dataclass(frozen=True, slots=True)
class AgeRow:
    """How many alerts of one level wait, by how long: one number for each of `AGES`, then the older ones."""

    level: Level
    counts: tuple[int, ...]

    def past(self, column: int) -> bool:
        """Whether what stands in the column waits for longer than the goal."""
        return column >= len(AGES) or AGES[column] > GOALS[self.level]


def age_edges(now: int) -> list[str]:
    """Where the columns of the age grid meet: an alert whose last hit was then or later is not older."""
    return [to_rfc3339(now - age) for age in AGES]


def age_rows(counts: Mapping[str, Sequence[int]]) -> list[AgeRow]:
    """The ages of what is to do, most urgent level first; a level without alerts may be left out."""
    nothing = (0,) * (len(AGES) + 1)
    return [AgeRow(level, tuple(counts.get(level, nothing))) for level in LEVELS]


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


def times_to_answer(findings: Iterable[FindingDocument]) -> list[int]:
    """From the telling of each institution to its first answer, ms, ascending."""
    found = []
    for document in findings:
        first = next((answer for answer in document.answers if answer.at >= document.finding.made), None)
        if first is not None:
            found.append(from_rfc3339(first.at) - from_rfc3339(document.finding.made))
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
