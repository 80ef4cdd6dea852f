"""Episodes and single events as alerts: the document that an analyst sees (DESIGN 3.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from pipeline.correlate.content import MemberSpread
from pipeline.correlate.correlation import Correlation, tlp_of
from pipeline.correlate.episode import alert_id, month_of
from pipeline.correlate.group import Revision
from pipeline.correlate.identity import digest
from pipeline.correlate.sentence import correlated_sentence, single_sentence
from pipeline.correlate.windows import positions_of
from schemas.alert import (
    SETTLED_REVISION,
    Alert,
    AlertEvent,
    AlertRule,
    AlertState,
    Ecs,
    Evidence,
    JointSoc,
    Level,
    MemberHit,
    Organizations,
    SharePolicy,
    Threat,
    ThreatItem,
)
from schemas.event import Event
from schemas.hit import Hit
from schemas.member import MemberRegistry
from schemas.times import to_rfc3339

RULESET: Final = "sigma"
REMEMBERED: Final = 1 << 16
"""Pieces of evidence that a writer remembers: most of what an alert lists was listed by its revision before."""
_ECS: Final = Ecs()

_LEVELS: Final[Mapping[str, Level]] = {
    "informational": "informational",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "critical",
}
_TECHNIQUE: Final = re.compile(r"t\d{4}(\.\d{3})?", re.ASCII)
_TACTIC: Final = re.compile(r"ta\d{4}", re.ASCII)
_OTHER_OBJECT: Final = re.compile(r"[gsc]\d{4}", re.ASCII)


class Detection(Protocol):
    """What an alert tells of a detection; `pipeline.detect`'s plan has it all."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def level(self) -> str: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def author(self) -> str: ...  # noqa: D102
    @property
    def license(self) -> str: ...  # noqa: D102
    @property
    def references(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def tags(self) -> Sequence[str]: ...  # noqa: D102


class AlertWriter:
    """Writes the alerts of one rule pack.

    Args:
        registry: names and corporate groups of the members.
        pack_version: named in every alert.
    """

    def __init__(self, registry: MemberRegistry, pack_version: str) -> None:
        self._groups = registry.groups()
        self._pack = pack_version
        self._rules: dict[str, tuple[AlertRule, Threat]] = {}
        self._evidence: dict[tuple[str, Hit], Evidence] = {}

    def alert(
        self, correlation: Correlation, group: Sequence[str], revision: Revision, created: int | None = None
    ) -> Alert:
        """One revision of an episode's alert.

        Args:
            correlation: the rule.
            group: the values of its group-by fields.
            revision: what there is to say.
            created: ms; when the revision was made. A settled one, and one without, takes the time of the last instant,
                so that the same events always give the same document.
        """
        content = revision.content
        spread = content.spread()
        made = revision.last if created is None or revision.state == "settled" else created
        first, last = min(part.first for _, part in spread), max(part.last for _, part in spread)
        step, counts = content.matrix.told(first, last)
        groups = {self._groups.get(member, member) for member, _ in spread}
        rule, threat = self._rule(correlation)
        successor = None if revision.successor is None else alert_id(correlation, group, revision.successor)
        return Alert(
            timestamp=to_rfc3339(revision.last),
            ecs=_ECS,
            event=AlertEvent(
                id=alert_id(correlation, group, revision.start),
                start=to_rfc3339(first),
                end=to_rfc3339(last),
                created=to_rfc3339(made),
            ),
            rule=rule,
            threat=threat,
            organization=Organizations(id=[member for member, _ in spread]),
            message=correlated_sentence(correlation, group, content, len(groups)),
            jointsoc=JointSoc(
                alert=AlertState(
                    revision=revision.number,
                    state=revision.state,
                    superseded_by=successor,
                    level=correlation.level,
                    exact=content.exact,
                ),
                group_by=dict(zip(correlation.group_by, group, strict=True)),
                groups=len(groups),
                events=content.count,
                without_value=content.valueless if correlation.values else 0,
                column_ms=step,
                members=self._members(spread, counts),
                evidence=[self._evidence_of(hit, correlation) for hit in content.evidence()],
                tlp=correlation.tlp,
                share=SharePolicy(k=correlation.share.k, tlp=correlation.share.tlp) if correlation.share else None,
                pack=self._pack,
            ),
        )

    def _rule(self, correlation: Correlation) -> tuple[AlertRule, Threat]:
        known = self._rules.get(correlation.id)
        if known is None:
            rule = _rule(correlation, correlation.links, correlation.fingerprint)
            known = self._rules[correlation.id] = rule, threat_of(correlation.tags)
        return known

    def _evidence_of(self, hit: Hit, correlation: Correlation) -> Evidence:
        known = self._evidence.get((correlation.id, hit))
        if known is None:
            if len(self._evidence) >= REMEMBERED:
                self._evidence.clear()
            known = self._evidence[correlation.id, hit] = _evidence(hit, correlation)
        return known

    def _members(self, spread: Sequence[tuple[str, MemberSpread]], counts: Mapping[str, list[int]]) -> list[MemberHit]:
        return [
            MemberHit.model_construct(
                id=member,
                group=self._groups.get(member, member),
                first_seen=to_rfc3339(part.first),
                last_seen=to_rfc3339(part.last),
                count=part.count,
                counts=counts.get(member, []),
            )
            for member, part in spread
        ]


def single_alert(event: Event, detection: Detection, groups: Mapping[str, str], pack_version: str = "") -> Alert:
    """The alert of a detection that alerts by itself: one event, one member, settled at once.

    Args:
        event: the event that matched.
        detection: its rule.
        groups: member -> corporate group.
        pack_version: named in the alert.
    """
    time, member, group = to_rfc3339(event.time), event.member, groups.get(event.member, event.member)
    hashed = digest(detection.id, event.event_id, member, size=12).hex()
    origin = event.origin
    return Alert(
        timestamp=time,
        event=AlertEvent(id=f"{month_of(event.time)}-{hashed}", start=time, end=time, created=time),
        rule=_rule(detection, detection.references, ""),
        threat=threat_of(detection.tags),
        organization=Organizations(id=[member]),
        message=single_sentence(detection.title, member),
        jointsoc=JointSoc(
            alert=AlertState(
                revision=SETTLED_REVISION + 1, state="settled", level=_LEVELS.get(detection.level, "medium")
            ),
            groups=1,
            events=1,
            members=[MemberHit(id=member, group=group, first_seen=time, last_seen=time, count=1)],
            evidence=[
                Evidence(
                    member=member,
                    topic=origin.topic,
                    partition=origin.partition,
                    offset=origin.offset,
                    line=event.line,
                    event_id=event.event_id,
                    time=time,
                    rule=[detection.title],
                )
            ],
            tlp=tlp_of(detection.tags),
            pack=pack_version,
        ),
    )


def threat_of(tags: Sequence[str]) -> Threat:
    """Tactics and techniques, as far as the tags tell them: `attack.credential-access`, `attack.t1110.004`.

    >>> threat = threat_of(["attack.credential-access", "attack.t1110.004", "tlp.amber"])
    >>> threat.tactic.name, threat.technique.id
    (['Credential Access'], ['T1110.004'])
    """
    tactic_ids, tactic_names, techniques = [], [], []
    for tag in tags:
        namespace, _, name = tag.lower().partition(".")
        if namespace != "attack" or not name or _OTHER_OBJECT.fullmatch(name):
            continue
        if _TECHNIQUE.fullmatch(name):
            techniques.append(name.upper())
        elif _TACTIC.fullmatch(name):
            tactic_ids.append(name.upper())
        else:
            words = name.replace("_", "-").split("-")
            tactic_names.append(" ".join(word if word in ("and", "of") else word.capitalize() for word in words))
    return Threat(tactic=ThreatItem(id=tactic_ids, name=tactic_names), technique=ThreatItem(id=techniques))


def _rule(rule: Detection | Correlation, links: Sequence[str], version: str) -> AlertRule:
    return AlertRule(
        uuid=rule.id,
        name=rule.title,
        description=rule.description,
        author=[author.strip() for author in rule.author.split(",") if author.strip()],
        license=rule.license,
        reference=list(links),
        ruleset=RULESET,
        version=version,
    )


def _evidence(hit: Hit, correlation: Correlation) -> Evidence:
    references = correlation.references
    return Evidence.model_construct(
        member=hit.member,
        topic=hit.topic,
        partition=hit.partition,
        offset=hit.offset,
        line=hit.line,
        event_id=hit.event_id,
        time=to_rfc3339(hit.time),
        rule=[references[position].title for position in positions_of(hit.mask)],
    )
