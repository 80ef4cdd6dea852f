"""A replay from the beginning reads some partitions far ahead of others, whatever the clocks of the members say."""

from __future__ import annotations

from random import Random

import orjson
import pytest

from pipeline.jobs.detect_stage import Record
from pipeline.rulepack import RulePack, build_pack
from schemas.alert import alert_from_json
from schemas.health import PartitionAccount, ShardAccount
from schemas.member import Member, MemberRegistry
from schemas.tick import Tick, encode_tick
from schemas.times import from_rfc3339, to_rfc3339
from tests.local_centre import HOUR, LATENESS, LocalCentre

NOON = from_rfc3339("2026-11-23T12:00:00.000Z")
MINUTE = 60_000
END = 400 * 24 * HOUR
MEMBERS = MemberRegistry(members=tuple(Member(id=name, name=name) for name in ("ash", "birch", "cedar")))
PARTITIONS = {"events.ash": 2, "events.birch": 1, "events.cedar": 1}
RULES = """\
title: Failed
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000001
name: failed
logsource: {category: authentication}
detection: {selection: {event.outcome: failure}, condition: selection}
---
title: Succeeded
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000002
name: succeeded
logsource: {category: authentication}
detection: {selection: {event.outcome: success}, condition: selection}
---
title: Several failures
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000011
correlation: {type: event_count, rules: failed, group-by: source.ip, timespan: 10m, condition: {gte: 3}}
federation: {min_organizations: 2}
---
title: Two or three
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000012
correlation: {type: event_count, rules: failed, group-by: source.ip, timespan: 10m, condition: {gte: 2, lte: 3}}
---
title: In order
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000013
correlation: {type: temporal_ordered, rules: [failed, succeeded], group-by: source.ip, timespan: 10m}
---
title: Never succeeded
id: 5b1f4e0a-6a7e-4d55-9a5e-000000000014
correlation: {type: temporal, condition: failed and not succeeded, group-by: source.ip, timespan: 20m}
federation: {settle_after: 30m}
"""

Log = list[Record]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> RulePack:
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    path.write_text(RULES)
    return build_pack([path], MEMBERS)


def _log(topic: str, partition: int, random: Random) -> Log:
    """One partition: six hours of events, some late or of a wrong clock, with the centre's ticks between them."""
    silent = random.choice((0, 0, 2 * HOUR))  # a broker out of reach: what was spooled comes all at once
    appended = sorted(random.randrange(0, 6 * HOUR, MINUTE // 2) for _ in range(random.randint(0, 40)))
    times = [(max(time, silent), time) for time in appended]
    arrivals: list[tuple[int, bytes, bool]] = []
    for came, happened in times:
        wrong = random.choice((0, 0, 0, -random.randrange(HOUR), -5 * HOUR, 3 * HOUR))
        fields = {
            "@timestamp": to_rfc3339(NOON + happened + wrong),
            "event.id": f"{topic}/{partition}/{len(arrivals)}",
            "event.outcome": random.choice(("failure", "failure", "success")),
            "source.ip": random.choice(("192.0.2.1", "192.0.2.2")),
            "jointsoc.logsource.category": "authentication",
        }
        arrivals.append((came, orjson.dumps(fields), False))
    tick = encode_tick(Tick(PARTITIONS))
    arrivals += [(minute * MINUTE, tick, True) for minute in range(0, 360, 20)]
    arrivals.append((END, tick, True))
    arrivals.sort(key=lambda arrival: arrival[0])
    return [
        Record(value, topic, partition, offset, NOON + came, is_tick)
        for offset, (came, value, is_tick) in enumerate(arrivals)
    ]


def _settled(pack: RulePack, batches: list[Log], random: Random) -> list[bytes]:
    centre = LocalCentre(pack)
    for batch in batches:
        centre.read(batch)
        if random.random() < 0.1:
            centre.restart()
    shards = [one for one in centre.health.values() if isinstance(one, ShardAccount)]
    assert not any(shard.counters["late_after_settle"] for shard in shards)
    return [alert.to_json() for alert in centre.standing()]


def _batches(records: Log, random: Random) -> list[Log]:
    size = random.choice((4, 20, 100))
    return [records[begin : begin + size] for begin in range(0, len(records), size)]


def _unevenly(logs: list[Log], random: Random) -> Log:
    """Each partition in its order, and now and then one far ahead of the others."""
    waiting, read = [list(log) for log in logs], Log()
    while any(waiting):
        log = random.choice([one for one in waiting if one])
        count = random.choice((1, 5, len(log)))
        read += log[:count]
        del log[:count]
    return read


def test_however_unevenly_partitions_are_read_the_same_alerts_settle(pack: RulePack) -> None:
    found: set[str] = set()
    for seed in range(12):
        random = Random(seed)
        logs = [_log(topic, number, random) for topic, count in PARTITIONS.items() for number in range(count)]
        evenly = sorted((record for log in logs for record in log), key=lambda record: record.append_time)
        wanted = _settled(pack, _batches(evenly, random), random)
        assert _settled(pack, _batches(_unevenly(logs, random), random), random) == wanted
        found |= {alert_from_json(document).rule.name for document in wanted}
    assert found == {"Several failures", "Two or three", "In order", "Never succeeded"}


def test_what_a_member_spooled_for_an_hour_joins_the_alert_of_that_hour(pack: RulePack) -> None:
    def event(topic: str, happened: int, came: int, offset: int) -> Record:
        fields = {"event.outcome": "failure", "source.ip": "192.0.2.1", "jointsoc.logsource.category": "authentication"}
        stamped = {"@timestamp": to_rfc3339(NOON + happened), "event.id": f"{offset}", **fields}
        return Record(orjson.dumps(stamped), topic, 0, offset, NOON + came, tick=False)

    centre = LocalCentre(pack)
    centre.tick(NOON)
    centre.read([event("events.ash", 0, 0, 10), event("events.ash", MINUTE, MINUTE, 11)])
    centre.tick(NOON + 58 * MINUTE)
    assert "Several failures" not in {alert.rule.name for alert in centre.standing()}
    centre.read([event("events.birch", 2 * MINUTE, 59 * MINUTE, 10), event("events.birch", -HOUR, 59 * MINUTE, 11)])
    [alert] = [alert for alert in centre.standing() if alert.rule.name == "Several failures"]
    assert alert.organization.id == ["ash", "birch"]
    accounts = [one for one in centre.health.values() if isinstance(one, PartitionAccount)]
    assert sum(account.late for account in accounts) == 1
    assert LATENESS == HOUR
