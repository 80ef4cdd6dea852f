"""The centre without servers, for tests: the Flink job's two stages, their state in a dict, no Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pipeline.jobs.active_pack import FixedPack, PackFile, PackSource, Stage
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.keyed_stage import KeyedStage
from pipeline.jobs.message import Passing, address_of, encode
from pipeline.rulepack import RulePack, build_pack, read_pack
from schemas.alert import Alert, alert_from_json
from schemas.dead_letter import DeadLetter
from schemas.health import AnyHealth, health_from_json
from schemas.member import MemberRegistry
from schemas.tick import Tick, encode_tick

ROOT: Final = Path(__file__).resolve().parents[1]
RULES: Final = ROOT / "rules" / "sigma"
HOUR: Final = 3_600_000
LATENESS: Final = HOUR
_FAR: Final = 400 * 24 * HOUR


class Arrival(NamedTuple):
    """One event of one member, and when the broker takes it (ms)."""

    appended: int
    member: str
    event: dict[str, Any]


class LocalCentre:
    """Takes events as the broker would deliver them, keeps the newest revision of every alert.

    Args:
        pack: the rules and members; as a path, an active pack that may be replaced while events come.
    """

    def __init__(self, pack: RulePack | Path) -> None:
        self.state = MemoryState()
        self._pack = pack
        self._batches = 0
        self.restart()
        self._topics = [member.topic for member in (read_pack(pack) if isinstance(pack, Path) else pack).members()]
        self._offsets: defaultdict[str, int] = defaultdict(int)
        self._newest = 0
        self.alerts: dict[str, Alert] = {}
        self.dead: list[DeadLetter] = []
        self.health: dict[str, AnyHealth] = {}
        """The newest message of each key."""

    def restart(self) -> None:
        """Let the workers go, as a crash would; new ones go on from the state."""
        self._detect = DetectStage(self._packs("detect"), LATENESS)
        self._keyed = KeyedStage(self._packs("correlate"), LATENESS, self.state)

    def _packs(self, stage: Stage) -> PackSource:
        return (
            FixedPack(self._pack)
            if isinstance(self._pack, RulePack)
            else PackFile(self._pack, stage, clock=lambda: self._batches)
        )

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """One batch, in the order given."""
        records = []
        for arrival in arrivals:
            self._newest = max(self._newest, arrival.appended)
            records.append(self._record(f"events.{arrival.member}", orjson.dumps(arrival.event), arrival.appended))
        self.read(records)

    def tick(self, appended: int) -> None:
        """The centre's clock writes into every topic."""
        self._newest = max(self._newest, appended)
        value = encode_tick(Tick(dict.fromkeys(self._topics, 1)))
        self.read([self._record(topic, value, appended, tick=True) for topic in self._topics])

    def settle(self) -> None:
        """Let more than a year pass, so that nothing stays open."""
        self.tick(self._newest)
        self.tick(self._newest + _FAR)

    def standing(self) -> list[Alert]:
        """Alerts that were not superseded, by the time they began."""
        alerts = [alert for alert in self.alerts.values() if alert.jointsoc.alert.state != "superseded"]
        return sorted(alerts, key=lambda alert: (alert.event.start, alert.id))

    def _record(self, topic: str, value: bytes, appended: int, *, tick: bool = False) -> Record:
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        return Record(value, topic, 0, offset, appended, tick)

    def read(self, records: list[Record]) -> None:
        """One batch of records as a source delivers them."""
        self._batches += 1  # also the workers' clock: they look at their pack before every batch
        for message in self._detect.process(records):
            data = encode(message)
            self.state.current = address_of(data)
            passings, report = self._keyed.process(self.state.current, data)
            for passing in passings:
                self._keep(passing)
            for passing in self._keyed.report(self.state.current, self._newest) if report else ():
                self._keep(passing)

    def _keep(self, passing: Passing) -> None:
        if passing.topic == "dead-letters":
            self.dead.append(DeadLetter.model_validate_json(passing.value))
            return
        if passing.topic == "health":
            self.health[passing.key] = health_from_json(passing.value)
            return
        alert = alert_from_json(passing.value)
        known = self.alerts.get(alert.id)
        if known is None or known.jointsoc.alert.revision <= alert.jointsoc.alert.revision:
            self.alerts[alert.id] = alert


def build_our_pack(registry: MemberRegistry) -> RulePack:
    """The rules of this repository for these members."""
    return build_pack([RULES], registry)


class MemoryState:
    """Keyed state: a dict for each address."""

    def __init__(self) -> None:
        self.current = ""
        self._groups: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)
        self._summaries: dict[str, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._groups[self.current].get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._groups[self.current][key] = value

    def delete(self, key: bytes) -> None:
        self._groups[self.current].pop(key, None)

    def summary(self) -> bytes | None:
        return self._summaries.get(self.current)

    def set_summary(self, value: bytes) -> None:
        self._summaries[self.current] = value
