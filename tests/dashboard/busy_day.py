"""A believable day for the screens: forty institutions, a campaign, people at work, and who is silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sin
from pathlib import Path
from typing import Final

import yaml

from dashboard.desk import Desk
from dashboard.member_desk import MemberDesk
from dashboard.site import Site
from dashboard.triage import Wish
from pipeline.correlate.alert import threat_of
from pipeline.rulepack import RulePack
from schemas.alert import Alert
from schemas.finding import Answer, finding_id
from schemas.health import Heartbeat, InputCounters, PartitionAccount, health_topic
from schemas.times import to_rfc3339
from tests.alert_samples import MINUTE, make_alert, stories

KINDS: Final = {
    "bank": "Alder Bank, Anchor Bank, Bank Aurora, Cobalt Bank, Copper Trust, Ferry Bank, Granite Bank, Heron Bank, "
    "Kestrel Bank, Lantern Bank, Meridian Bank, Northgate Bank, Quarry Bank, Slate Bank, Summit Bank, Willow Bank",
    "securities": "Aurora Securities, Basalt Futures, Compass Securities, Finch Futures, Harbor Securities, "
    "Juniper Securities, Ridge Securities, Sparrow Securities, Tern Securities, Tidewater Futures",
    "insurer": "Aurora Life, Bridge Reinsurance, Cedar Life, Field Mutual, Juniper Insurance, Maple General, "
    "Orchid Insurance, Pine Mutual",
    "payments": "Bill Exchange, Card Centre, Clearing House One, Depository, Pebble Pay, Saffron Pay",
}
DEAF: Final = "tidewater-futures"
"""No heartbeat for 21 minutes."""
DRY: Final = {"orchid-insurance": 21, "pine-mutual": 34}
"""Heartbeats, but no events for so many minutes."""
NOT_YET: Final = "saffron-pay"


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """One record of a health topic."""

    topic: str
    timestamp: int
    value: bytes
    partition: int = 0
    offset: int = 0


def member_id(name: str) -> str:
    """Kestrel Bank -> kestrel-bank; Bank Aurora -> aurora-bank, as in `tests.alert_samples`."""
    return "aurora-bank" if name == "Bank Aurora" else name.lower().replace(" ", "-")


def write_members(path: Path) -> list[str]:
    """Write the registry of the forty; returns their ids."""
    members = [
        {"id": member_id(name), "name": name, "kind": kind, "group": "aurora" if "Aurora" in name else ""}
        for kind, names in KINDS.items()
        for name in names.split(", ")
    ]
    path.write_text(yaml.safe_dump({"members": members}))
    return [member["id"] for member in members]


def alerts_of_the_day(now: int) -> list[Alert]:
    """The stories, and what else lies in the queue: one campaign is many alerts."""
    address = {"source.ip": "203.0.113.77"}
    return [
        *stories(now),
        make_alert("probe", spread=(("meridian-bank", 0, 30, 84), ("cobalt-bank", 25, 80, 70),
                                    ("kestrel-bank", 60, 87, 60)),
                   start=now - 560 * MINUTE, level="medium", state="settled", rule="One address probing web front ends",
                   message="203.0.113.77 probed log-in pages of 3 institutions overnight", group_by=address,
                   detections=("Log-in page probed",)),
        make_alert("kit", spread=(("harbor-securities", 0, 31, 4), ("juniper-securities", 40, 64, 3)),
                   start=now - 120 * MINUTE, level="critical", rule="Web shell, exclusion, remote tool",
                   message="portaldesk: web shell, antivirus exclusion and remote tool at 2 brokers",
                   group_by={"service.name": "portaldesk"}, detections=("Antivirus exclusion", "Remote tool")),
        make_alert("flood", spread=[(member_id(n), i * 2, i * 2 + 8, 3 + i % 4) for i, n in enumerate(
                   KINDS["bank"].split(", ")[:11])],
                   start=now - 47 * MINUTE, level="critical", rule="Sector DDoS",
                   group_by={"threat.technique.id": "T1498"},
                   message="DDoS alarms at 11 institutions within 28 min", detections=("DDoS alarm",)),
        make_alert("mail", spread=[(m, i * 6.0, i * 6.0 + 20, 8 - i) for i, m in enumerate(
                   ["juniper-insurance", "meridian-bank", "granite-bank", "cedar-life", "slate-bank"])],
                   start=now - 95 * MINUTE, level="medium", rule="Same attachment",
                   detections=("Attachment delivered",),
                   group_by={"file.hash.sha256": "c07a19" * 10 + "44f2"},
                   message="c07a19c0…44f2: the same attachment at 5 institutions"),
        make_alert("hosts", spread=(("juniper-insurance", 0, 130, 41), ("basalt-futures", 80, 130, 22)),
                   start=now - 133 * MINUTE, level="critical", rule="Shared command and control",
                   group_by={"destination.ip": "198.51.100.24"}, detections=("Beacon",),
                   message="198.51.100.24: hosts at 2 institutions call the same command server"),
        make_alert("exercise", spread=(("ferry-bank", 0, 6, 5), ("summit-bank", 3, 9, 7)), start=now - 200 * MINUTE,
                   level="high", state="settled", group_by={"source.ip": "192.0.2.9"}, drill=True,
                   message="192.0.2.9 failed 12 customer log-ins at 2 institutions in 9 min"),
        *(make_alert(f"past {n}", spread=(("tern-securities", 0, 12, 90 + n), ("slate-bank", 5, 16, 60)),
                     start=now - (n + 2) * 7_000 * MINUTE // 5, state="settled", rule="Spray, then a transfer",
                     group_by={"source.ip": f"198.51.100.{n}"},
                     message=f"198.51.100.{n}: log-ins failed at 2 institutions, then an order at Tern Securities")
          for n in range(9)),
    ]  # fmt: skip


def put_people_to_work(desk: Desk, members: MemberDesk, alerts: list[Alert]) -> None:
    """Acknowledge, notify, answer, close, reopen: what the history and the boards show."""
    transfer = next(a for a in alerts if "then a transfer at Kestrel" in a.message)
    for alert in alerts:
        if "then an order" in alert.message:
            reason = "benign_true_positive" if alert.id[-1] < "2" else "true_positive"
            desk.grant(alert, Wish("close", 0, reason, "blocked at the edge"), "wei")
    desk.grant(transfer, Wish("acknowledge", 0), "mei")
    desk.grant(transfer, Wish("tag", 1, "fraud-desk"), "mei")
    hit = [part.id for part in transfer.jointsoc.members]
    members.notify(transfer, hit, "Did the transfer go out? Which accounts were used?", "mei")
    for member, verdict, incident, reason in (
        ("aurora-bank", "confirmed", "INC-1123-04", "Two customer accounts locked; passwords reset."),
        ("meridian-bank", "confirmed", "INC-1123-07", "Address blocked at the edge."),
        ("aurora-securities", "cannot_tell", "", "Edge logs keep no account field before 09:30."),
        ("harbor-securities", "false_alarm", "", "All 48 blocked before the log-in page; no account reached."),
    ):
        members.answer(member, Answer(finding=finding_id(transfer.id, member), verdict=verdict, incident=incident,
                                      reason=reason), f"{member} (feed)")  # type: ignore[arg-type]  # fmt: skip
    desk.grant(transfer, Wish("note", 0, "Kestrel's duty officer reached by phone; beneficiary account frozen."), "mei")


def health_of_the_day(now: int, ids: list[str]) -> Iterator[HealthRecord]:
    """Heartbeats and accounts of the last hour, minute by minute, as the health topics carry them."""
    totals = dict.fromkeys(ids, 0)
    for minute in range(62, -1, -1):
        at = now - minute * MINUTE
        for number, member in enumerate(ids):
            if member == NOT_YET or (member == DEAF and minute < 21):
                continue
            waited = 48_000 if member == "granite-bank" else 400 + number * 37
            portal = InputCounters(name="portal", spool_oldest=to_rfc3339(at - waited))
            beat = Heartbeat(timestamp=to_rfc3339(at), member=member, agent="0.3.0", inputs=[portal],
                             spool_bytes=41_000_000 if member == "granite-bank" else 0)  # fmt: skip
            yield HealthRecord(health_topic(member), at, beat.to_json())
            if DRY.get(member, -1) < minute:
                totals[member] += int((2 + number * 37 % 11) * 600 * (1.2 + sin(minute / 7 + number)))
            late = totals[member] * (62 if member == "lantern-bank" else 1 + number % 4) // 1000
            dead = (62 - minute) * (318 if member == "finch-futures" else number % 3) // 62
            account = PartitionAccount(timestamp=to_rfc3339(at), topic=f"events.{member}", partition=0, next_offset=0,
                                       records=totals[member] // 50, lines=totals[member] + dead, dead=dead, late=late,
                                       evaluated=totals[member], matched=totals[member] // 900)  # fmt: skip
            yield HealthRecord("health", at, account.to_json())


def fill(site: Site, alerts: list[Alert], now: int, ids: list[str]) -> None:
    """Everything but the alerts themselves, which lie in the index."""
    put_people_to_work(site.desk, site.member_desk, alerts)
    for record in health_of_the_day(now, ids):
        site.health.take(record)


REAL: Final = {
    "Credential stuffing across institutions": "Credential stuffing of customer portals",
    "Spray, then a transfer": "Credential stuffing, then a login and a transfer",
    "Same web shell at several institutions": "The same web shell on several servers",
    "One scanner at many institutions": "Scan of the members' web sites",
    "DDoS alarms at several institutions": "Denial of service against the sector",
    "One address probing web front ends": "Slow probing of the members' edge",
    "Web shell, exclusion, remote tool": "The same intrusion chain at several institutions",
    "Sector DDoS": "Denial of service against the sector",
    "Same attachment": "The same malicious attachment at many institutions",
    "Shared command and control": "The same control server at several institutions",
}
"""Name of a story's rule -> the rule of this project that tells such stories."""


def under_real_rules(alerts: list[Alert], pack: RulePack) -> list[Alert]:
    """The same alerts, as the rules of the pack would have raised them."""
    by_title = {correlation.title: correlation for correlation in pack.correlations}
    for alert in alerts:
        correlation = by_title.get(REAL.get(alert.rule.name, ""))
        if correlation is not None:
            alert.rule.uuid, alert.rule.name = correlation.id, correlation.title
            alert.rule.description, alert.threat = correlation.description, threat_of(correlation.tags)
    return alerts
