"""Why a correlation did or did not alert: the events that counted, in their groups, and what was missing.

Whether it alerted is what the centre's own stages say; what was missing is read off the fullest window of each group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.correlate.correlation import TEMPORAL, Correlation, Reference
from pipeline.correlate.project import Dropped, Projector
from pipeline.detect.evaluate import Detector
from pipeline.jobs.local_job import Line, LocalJob, patient
from pipeline.jobs.message import Passing
from pipeline.rulepack import RulePack
from pipeline.workbench.rule_set import RuleSet, correlation_in
from schemas.alert import Alert, alert_from_json
from schemas.dead_letter import DeadLetter
from schemas.event import Origin, Rejected, read_line
from schemas.logsource import derive_logsource
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from schemas.times import from_rfc3339

BATCH: Final = 2_000


class Moment(NamedTuple):
    """One event that counted in a group, or one satisfied instant of a correlation below."""

    time: int
    member: str
    references: int
    """A bit for each of the correlation's references."""
    value: object
    weight: int


class Need(NamedTuple):
    """One thing that the rule asks of a window."""

    what: str
    have: int
    want: int

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        return self.have >= self.want

    def __str__(self) -> str:
        return f"{self.have:,} of {self.want:,} {self.what}"


@dataclass(frozen=True, slots=True)
class GroupStory:
    """What came together under one value of the group-by fields."""

    group_by: dict[str, str]
    alerted: bool
    moments: tuple[Moment, ...]
    """The fullest window, in order of time."""
    elsewhere: int
    """Events of the group outside that window."""
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A correlation's part in a stream of events."""

    rule: Correlation
    stories: tuple[GroupStory, ...]
    """Those that alerted first, then by how much was there."""
    events: int
    matched: dict[str, int]
    """Title of each detection -> events that it matched."""
    dropped: dict[Dropped, int]
    refused: int

    @property
    def alerted(self) -> bool:
        """Whether the correlation alerted at all."""
        return any(story.alerted for story in self.stories)


def tell_timeline(
    rules: RuleSet, document: RuleDocument, registry: MemberRegistry, lines: Sequence[Line], disorder: int
) -> Timeline:
    """Run a correlation over lines in the order of their append times.

    Args:
        rules: the rule and what it builds on.
        document: the rule.
        registry: the members.
        lines: events of all members.
        disorder: ms that a line is at most older than one before it; none is too late.

    Raises:
        RuleError: it cannot be honoured.
    """
    pack, lateness = patient(rules.pack_of(document, registry, all_alert=True), disorder)
    rule = correlation_in(pack, document)
    refused: list[DeadLetter] = []
    alerts = _alerts(LocalJob(pack, lateness, refused.append, settled_only=True), lines)
    matched, projector, groups = _moments(pack, rule, lines, lateness)
    for reference, alert in _child_alerts(rule, alerts):
        key = tuple(alert.jointsoc.group_by.get(reference.fields.get(name, name), "") for name in rule.group_by)
        position = rule.references.index(reference)
        time = from_rfc3339(alert.timestamp)
        groups[key] += [Moment(time, member, 1 << position, None, 1) for member in alert.organization.id]
    own = [alert for alert in alerts if alert.rule.uuid == rule.id]
    fired = [tuple(alert.jointsoc.group_by.get(name, "") for name in rule.group_by) for alert in own]
    corporate = registry.groups()
    stories = [_story(rule, key, moments, corporate, alerted=key in fired) for key, moments in groups.items()]
    stories.sort(key=lambda story: (not story.alerted, -_fullness(story.needs), -len(story.moments)))
    return Timeline(rule, tuple(stories), len(lines), matched, dict(projector.dropped), len(refused))


def _alerts(job: LocalJob, lines: Sequence[Line]) -> list[Alert]:
    passings: list[Passing] = []
    for begin in range(0, len(lines), BATCH):
        passings += job.feed(lines[begin : begin + BATCH])
    passings += job.finish()
    return [alert_from_json(passing.value) for passing in passings]


def _child_alerts(rule: Correlation, alerts: Sequence[Alert]) -> Iterable[tuple[Reference, Alert]]:
    return ((reference, alert) for reference in rule.references for alert in alerts if alert.rule.uuid == reference.id)


def _moments(
    pack: RulePack, rule: Correlation, lines: Sequence[Line], lateness: int
) -> tuple[dict[str, int], Projector, defaultdict[tuple[str, ...], list[Moment]]]:
    detector, projector = Detector(pack.detections), Projector([rule])
    counted = Counter({plan.title: 0 for plan in pack.detections})
    offsets = pack.registry().clock_offsets()
    groups: defaultdict[tuple[str, ...], list[Moment]] = defaultdict(list)
    for line in lines:
        origin = Origin(line.topic, line.partition, line.number, line.append_time)
        event = read_line(line.raw, origin, 0, lateness, offsets.get(line.topic.partition(".")[2], 0))
        if isinstance(event, Rejected):
            continue
        derive_logsource(event.fields)
        plans = [pack.detections[index] for index in detector.match(event.fields)]
        counted.update(plan.title for plan in plans)
        for _, one in projector.hits(event, projector.wanted([plan.id for plan in plans])):
            hit = one.hit
            groups[one.group].append(Moment(hit.time, hit.member, hit.mask, hit.value, hit.weight))
    return dict(counted), projector, groups


def _story(
    rule: Correlation, key: tuple[str, ...], moments: list[Moment], corporate: Mapping[str, str], *, alerted: bool
) -> GroupStory:
    moments.sort(key=lambda moment: moment[:3])
    best: tuple[float, int, int] = (-1.0, 0, 0)
    begin = 0
    for end, moment in enumerate(moments, 1):
        while moments[begin].time < moment.time - rule.timespan:
            begin += 1
        fullness = _fullness(needs_of(rule, moments[begin:end], corporate))
        if fullness >= best[0]:
            best = fullness, begin, end
    window = tuple(moments[best[1] : best[2]])
    shown = dict(zip(rule.group_by, key, strict=True))
    return GroupStory(shown, alerted, window, len(moments) - len(window), needs_of(rule, window, corporate))


def _fullness(needs: Iterable[Need]) -> float:
    shares = [min(1.0, need.have / need.want) for need in needs if need.want > 0]
    return sum(shares) / max(1, len(shares))


def needs_of(rule: Correlation, window: Sequence[Moment], corporate: Mapping[str, str]) -> tuple[Need, ...]:
    """What a rule asks of a window and what is there; upper bounds, sums and absence are not told."""
    needs: list[Need] = []
    if rule.clauses:
        steps = [_steps(rule, clause.present, window) for clause in rule.clauses]
        needs.append(max(steps, key=lambda need: need.have - need.want))
    elif rule.rising and rule.comparisons:
        if rule.kind == "event_count":
            needs.append(Need("events", sum(moment.weight for moment in window), rule.least))
        elif rule.kind == "value_count":
            values = {moment.value for moment in window if moment.value is not None}
            needs.append(Need(f"different {', '.join(rule.values)}", len(values), rule.least))
        elif rule.kind in TEMPORAL:
            needs.append(_steps(rule, tuple(range(len(rule.references))), window)._replace(want=rule.least))
    if rule.min_organizations > 1:
        groups = {corporate.get(moment.member, moment.member) for moment in window}
        needs.append(Need("institutions (corporate groups)", len(groups), rule.min_organizations))
    return tuple(needs)


def _steps(rule: Correlation, present: tuple[int, ...], window: Sequence[Moment]) -> Need:
    titles = [rule.references[position].title for position in present]
    if rule.kind != "temporal_ordered":
        there = [any(moment.references >> position & 1 for moment in window) for position in present]
        missing = [title for title, found in zip(titles, there, strict=True) if not found]
        return Need("rules" + (f"; missing: {', '.join(missing)}" if missing else ""), sum(there), len(present))
    reached = 0
    for moment in window:
        if reached < len(present) and moment.references >> present[reached] & 1:
            reached += 1
    missing_step = f"; missing from there on: {titles[reached]}" if reached < len(present) else ""
    return Need("steps in this order" + missing_step, reached, len(present))
