"""What a rule would have done on recorded events: alerts, members, keys, and the state it would have kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from pipeline.correlate.correlation import Correlation
from pipeline.correlate.project import Dropped, Projector
from pipeline.detect.evaluate import Detector
from pipeline.jobs.local_job import Line, LocalJob
from pipeline.jobs.message import Passing
from pipeline.rulepack import RulePack
from schemas.alert import Alert, alert_from_json
from schemas.dead_letter import DeadLetter
from schemas.event import Origin, Rejected, read_line
from schemas.logsource import derive_logsource

BATCH: Final = 2_000
DAY: Final = 86_400_000


@dataclass(slots=True)
class Backtest:
    """What came of one rule; counts of events unless said otherwise."""

    lines: int = 0
    matched: Counter[str] = field(default_factory=Counter)
    """Title of each detection -> events that it matched."""
    members: Counter[str] = field(default_factory=Counter)
    """Member -> events of the rule."""
    keys: int = 0
    """Distinct values of the group-by fields."""
    peak_hits: int = 0
    """Most hits that were kept at a time, all keys together."""
    peak_keys: int = 0
    dropped: Counter[Dropped] = field(default_factory=Counter)
    refused: int = 0
    begin: int = 0
    """ms; newest event time of the first line."""
    end: int = 0
    alerts: list[Alert] = field(default_factory=list)
    """Settled, of this rule alone."""

    @property
    def days(self) -> float:
        """Length of the recording; at least an hour, so that a few events promise nothing."""
        return max(self.end - self.begin, DAY / 24) / DAY

    @property
    def alerts_a_day(self) -> float:
        """An estimate: as many alerts on every day as on these."""
        return len(self.alerts) / self.days


def backtest(pack: RulePack, rule: str, lines: Iterable[Line], lateness: int) -> Backtest:
    """Run a pack over lines in the order of their append times.

    Args:
        pack: the rule and what it builds on.
        rule: its id; a detection must alert by itself.
        lines: events of all members.
        lateness: ms an event may be late.
    """
    result = Backtest()
    letters: list[DeadLetter] = []
    job = LocalJob(pack, lateness, letters.append, settled_only=True)
    gauge = _Gauge(pack, rule, result)
    stream = iter(lines)
    while batch := list(islice(stream, BATCH)):
        result.begin = result.begin or batch[0].append_time
        result.end = batch[-1].append_time
        result.lines += len(batch)
        result.alerts += _of_rule(job.feed(batch), rule)
        gauge.read(batch)
        result.refused += len(letters)
        letters.clear()
    result.alerts += _of_rule(job.finish(), rule)
    return result


def _of_rule(passings: Iterable[Passing], rule: str) -> Iterator[Alert]:
    alerts = (alert_from_json(passing.value) for passing in passings)
    return (alert for alert in alerts if alert.rule.uuid == rule)


class _Gauge:
    """Counts what the stages keep to themselves: matches, keys, and hits within reach of the newest window."""

    def __init__(self, pack: RulePack, rule: str, result: Backtest) -> None:
        self._plans = pack.detections
        self._detector = Detector(pack.detections)
        self._correlation: Correlation | None = next((one for one in pack.correlations if one.id == rule), None)
        self._projector = Projector([self._correlation] if self._correlation else [])
        self._offsets = pack.registry().clock_offsets()
        self._keys: set[tuple[str, ...]] = set()
        self._kept: list[tuple[int, tuple[str, ...]]] = []
        self._kept_keys: Counter[tuple[str, ...]] = Counter()
        self._result = result

    def read(self, lines: Iterable[Line]) -> None:
        """Count a batch."""
        result = self._result
        for line in lines:
            member = line.topic.partition(".")[2]
            origin = Origin(line.topic, line.partition, line.number, line.append_time)
            event = read_line(line.raw, origin, 0, DAY, self._offsets.get(member, 0))
            if isinstance(event, Rejected):
                continue
            derive_logsource(event.fields)
            plans = [self._plans[index] for index in self._detector.match(event.fields)]
            if not plans:
                continue
            result.matched.update(plan.title for plan in plans)
            result.members[member] += 1
            for _, hit in self._projector.hits(event, self._projector.wanted([plan.id for plan in plans])):
                self._keep(hit.hit.time, hit.group)
        result.dropped = self._projector.dropped

    def _keep(self, time: int, group: tuple[str, ...]) -> None:
        rule, result = self._correlation, self._result
        if rule is None:
            return
        self._keys.add(group)
        heappush(self._kept, (time, group))
        self._kept_keys[group] += 1
        while self._kept[0][0] < time - rule.timespan - rule.suppress:
            _, gone = heappop(self._kept)
            self._kept_keys[gone] -= 1
            if not self._kept_keys[gone]:
                del self._kept_keys[gone]
        result.keys = len(self._keys)
        result.peak_hits = max(result.peak_hits, len(self._kept))
        result.peak_keys = max(result.peak_keys, len(self._kept_keys))
