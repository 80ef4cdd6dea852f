"""Alerts for tests: believable, built from a few numbers, valid by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

from pipeline.correlate.matrix import Matrix, matrix_of
from schemas.alert import (
    SETTLED_REVISION,
    SUPERSEDED_REVISION,
    Alert,
    AlertEvent,
    AlertRule,
    AlertState,
    Evidence,
    JointSoc,
    Level,
    MemberHit,
    Organizations,
    State,
    Threat,
    ThreatItem,
)
from schemas.times import to_rfc3339

MINUTE = 60_000
NOON = 1_795_435_200_000
"""2026-11-23T12:00:00Z."""

MANY = 20_000
"""With more hits than that a sample tells no counts by time."""
GROUPS = {"aurora-bank": "aurora", "aurora-securities": "aurora"}


def alert_id(name: str, month: str = "202611") -> str:
    """A well-formed id; the same for the same name."""
    return f"{month}-{blake2b(name.encode(), digest_size=12).hexdigest()}"


def make_alert(
    name: str = "stuffing",
    *,
    spread: Sequence[tuple[str, float, float, int]] = (("aurora-bank", 0, 20, 237), ("meridian-bank", 7, 27, 267)),
    start: int = NOON,
    state: State = "open",
    revision: int | None = None,
    level: Level = "high",
    rule: str = "Credential stuffing across institutions",
    message: str = "203.0.113.77: 504 failed logins at 2 institutions in 27 min",
    group_by: dict[str, str] | None = None,
    detections: Sequence[str] = ("Customer login failed",),
    drill: bool = False,
    **alert_state: Any,
) -> Alert:
    """One revision of one alert.

    Args:
        name: decides the id.
        spread: member, minutes from `start` to its first and last hit, number of hits; in order of spread.
        revision: None: what the state and the number of hits say.
    """
    hits = sum(count for *_, count in spread)
    base = {"open": 0, "settled": SETTLED_REVISION, "superseded": 0}[state]
    number = SUPERSEDED_REVISION if state == "superseded" else base + hits
    first, last = min(s[1] for s in spread), max(s[2] for s in spread)
    matrix = Matrix()
    for part in spread if hits <= MANY else ():
        matrix.merge(matrix_of(list(_hits(start, part))))
    step, counts = matrix.told(start + int(first * MINUTE), start + int(last * MINUTE))
    members = [
        MemberHit(
            id=m,
            group=GROUPS.get(m, m),
            first_seen=_at(start, a),
            last_seen=_at(start, b),
            count=n,
            counts=counts.get(m, []),
        )
        for m, a, b, n in spread
    ]
    return Alert(
        timestamp=_at(start, last),
        event=AlertEvent(
            id=alert_id(name), start=_at(start, first), end=_at(start, last), created=_at(start, last + 0.02)
        ),
        rule=AlertRule(
            uuid="5b1c9d1e-0f6e-4a55-9b2e-2c1d6f6e0a01",
            name=rule,
            description="Many failed customer log-ins from one address at several institutions.",
            author=["jointsoc"],
            license="Apache-2.0",
            reference=["https://attack.mitre.org/techniques/T1110/004/"],
            ruleset="jointsoc",
            version="1",
        ),
        threat=Threat(tactic=ThreatItem(name=["credential-access"]), technique=ThreatItem(id=["T1110.004"])),
        organization=Organizations(id=[member for member, *_ in spread]),
        message=message,
        jointsoc=JointSoc(
            alert=AlertState(
                revision=number if revision is None else revision, state=state, level=level, **alert_state
            ),
            group_by={"source.ip": "203.0.113.77"} if group_by is None else group_by,
            groups=len({GROUPS.get(member, member) for member, *_ in spread}),
            events=hits,
            column_ms=step if hits <= MANY else 0,
            members=members,
            evidence=list(_evidence(start, spread, detections)),
            drill=drill,
            pack="2026.11.23-2",
        ),
    )


def _at(start: int, minutes: float) -> str:
    return to_rfc3339(start + int(minutes * MINUTE))


def _hits(start: int, part: tuple[str, float, float, int]) -> Iterator[tuple[str, int]]:
    """So many hits, dense at first and thinning out; the last one at the very end."""
    member, first, last, count = part
    for number in range(count):
        share = (number / max(count - 1, 1)) ** 1.6
        yield member, start + int((first + (last - first) * share) * MINUTE)


def _evidence(
    start: int, spread: Sequence[tuple[str, float, float, int]], detections: Sequence[str]
) -> Sequence[Evidence]:
    shown = [
        (minute, member, number, end)
        for number, (member, first, last, count) in enumerate(spread)
        for end, minute in enumerate((first, last) if count > 1 else (first,))
    ]
    return [
        Evidence(
            member=member,
            topic=f"events.{member}",
            partition=number % 2,
            offset=18_200_000 + int(minute * 100) + number,
            line=end,
            event_id=blake2b(f"{member}{minute}".encode(), digest_size=12).hexdigest(),
            time=_at(start, minute),
            rule=[detections[-1] if (minute, member, number, end) == max(shown) else detections[0]],
        )
        for minute, member, number, end in sorted(shown)
    ]


def stories(now: int) -> list[Alert]:
    """A morning in the joint SOC: what the dashboard's screenshots show."""
    ago = now - 90 * MINUTE
    spray = (
        ("aurora-bank", 0, 18, 237),
        ("meridian-bank", 7, 25, 267),
        ("aurora-securities", 12, 26, 94),
        ("cobalt-bank", 19, 42, 318),
        ("harbor-securities", 32, 44, 48),
        ("kestrel-bank", 46, 70, 322),
    )
    return [
        make_alert("stuffing", spread=spray, start=ago, level="high",
                   message="203.0.113.77 failed 1,286 customer log-ins at 6 institutions in 70 min"),
        make_alert("transfer", spread=spray, start=ago + MINUTE, level="critical", rule="Spray, then a transfer",
                   message="203.0.113.77: log-ins failed at 6 institutions, then a transfer at Kestrel Bank",
                   detections=("Customer login failed", "Transfer ordered")),
        make_alert("shell", spread=(("harbor-securities", 0, 0, 1), ("juniper-insurance", 34, 34, 2)),
                   start=now - 50 * MINUTE, level="critical", rule="Same web shell at several institutions",
                   message="9f2c41d1e7b0: the same web shell on servers of 2 institutions",
                   group_by={"file.hash.sha256": "9f2c41" * 10 + "d1e7"}, detections=("Web shell written",)),
        make_alert("scanner", spread=[(m, i * 0.4, i * 0.4 + 3, 40 + i) for i, m in enumerate(
                   ["kestrel-bank", "cobalt-bank", "aurora-bank", "meridian-bank", "harbor-securities",
                    "juniper-insurance"])],
                   start=now - 31 * MINUTE, level="medium", state="settled", rule="One scanner at many institutions",
                   message="198.51.100.24 probed 6 institutions within 5 min",
                   group_by={"source.ip": "198.51.100.24"}, detections=("Vulnerability scanner",)),
        make_alert("ddos", spread=(("cobalt-bank", 0, 4, 9), ("meridian-bank", 6, 11, 12)),
                   start=now - 12 * MINUTE, level="high", rule="DDoS alarms at several institutions",
                   message="DDoS alarms at 2 institutions within 11 min", group_by={},
                   detections=("DDoS alarm",)),
        make_alert("older", spread=spray[:3], start=ago - 9 * MINUTE, level="high", state="superseded",
                   message="203.0.113.77 failed 598 customer log-ins at 3 institutions in 26 min",
                   superseded_by=alert_id("stuffing")),
        make_alert("single", spread=(("juniper-insurance", 0, 0, 1),), start=now - 5 * MINUTE, level="low",
                   state="settled", rule="Administrator account created", group_by={},
                   message="Administrator account created at Juniper Insurance",
                   detections=("Administrator account created",)),
    ]  # fmt: skip
