"""Telling members, and hearing their answers: kept in the index first, sent afterwards, escalated when overdue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from connectors.documents import Conflict, Documents, Kind, Stored
from dashboard.desk import Desk
from dashboard.member_view import DEADLINE_HOURS, finding_of
from dashboard.triage import noted
from schemas.alert import Alert, Level
from schemas.errors import printable
from schemas.finding import Answer, AnswerRecord, Finding, FindingDocument, finding_id
from schemas.times import now_ms, to_rfc3339
from schemas.workflow import CENTRE, Deed, HistoryEntry

log = structlog.get_logger()

FINDINGS: Final = Kind("workflow-findings", FindingDocument)
_TRIES: Final = 5


class Unknown(Exception):
    """There is no such finding for this member."""


class Alerts(Protocol):
    """Where alerts are read."""

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""


class MemberDesk:
    """Findings and answers.

    Args:
        documents: where they are kept.
        alerts: where alerts are read.
        desk: each deed also goes into the alert's history.
        clock: ms since 1970.
        hours: time to answer, by level.
    """

    def __init__(
        self,
        documents: Documents,
        alerts: Alerts,
        desk: Desk,
        clock: Callable[[], int] = now_ms,
        hours: Mapping[Level, int] = DEADLINE_HOURS,
    ) -> None:
        self._documents, self._alerts, self._desk = documents, alerts, desk
        self._clock, self._hours = clock, hours

    def notify(self, alert: Alert, members: Sequence[str], asked: str, who: str) -> list[Finding]:
        """Tell members of the alert; one who was told before is told again, with what is known now."""
        told = [finding for member in dict.fromkeys(members) if (finding := self._tell(alert, member, asked, who))]
        if told:
            names = ", ".join(finding.member for finding in told)
            self._history(alert, "notified", who, names, asked)
        return told

    def of_alert(self, alert_id: str) -> list[FindingDocument]:
        """What members were told of an alert, by member."""
        found = self._documents.find(FINDINGS, {"finding.alert": (alert_id,)}, limit=500)
        return sorted(map(_document, found), key=lambda one: one.finding.member)

    def of_member(self, member: str, limit: int = 200) -> list[FindingDocument]:
        """What a member was told, written last first."""
        return list(map(_document, self._documents.find(FINDINGS, {"finding.member": (member,)}, limit=limit)))

    def get(self, member: str, identity: str) -> FindingDocument:
        """One finding of the member.

        Raises:
            Unknown: there is none, or it is another member's.
        """
        stored = self._documents.get(FINDINGS, identity)
        if stored is None or _document(stored).finding.member != member:
            raise Unknown(identity)
        return _document(stored)

    def answer(self, member: str, answer: Answer, who: str) -> FindingDocument:
        """Keep a member's answer; a later one counts instead of an earlier one, and both are kept.

        Args:
            member: whose answer it is, from its account or its topic; never from the answer.
            answer: what it says.
            who: the person or program.

        Raises:
            Unknown: the member was told no such thing.
        """
        known = self.get(member, answer.finding)
        record = AnswerRecord(answer=answer, member=member, who=who, at=self._now())
        if known.answers and known.answers[-1].answer == answer:
            return known  # the same again, from a topic that is read twice

        def take(document: FindingDocument) -> FindingDocument:
            return document.model_copy(update={"state": "answered", "answers": [*document.answers, record]})

        after = self._change(answer.finding, take)
        alert = self._alerts.get(after.finding.alert)
        if alert is not None:
            said = " ".join(filter(None, (answer.incident, answer.reason)))
            self._history(alert, "answered", member, answer.verdict, said)
        return after

    def keep(self, send: Callable[[Finding], None]) -> None:
        """The centre's own work: send what waits to be sent, escalate what is overdue.

        Args:
            send: hands a finding to the broker and returns once it has it; may raise `ConnectionError_`.
        """
        for stored in reversed(self._documents.find(FINDINGS, {"sent": ("false",)}, limit=500)):
            finding = _document(stored).finding
            send(finding)
            self._change(finding.id, lambda now, sent=finding: _mark_sent(now, sent))  # type: ignore[misc]
        now = self._now()
        for stored in self._documents.find(FINDINGS, {"state": ("waiting",)}, limit=1000):
            document = _document(stored)
            if document.finding.deadline < now:
                self._escalate(document)

    def verdicts(self) -> dict[str, dict[str, int]]:
        """Rule uuid -> verdict -> number of members' last answers: what a rule's precision is made of."""
        counts: dict[str, dict[str, int]] = {}
        for document in self.answered(10_000):
            if not document.finding.drill and document.answers:
                verdict = document.answers[-1].answer.verdict
                of_rule = counts.setdefault(document.finding.rule, {})
                of_rule[verdict] = of_rule.get(verdict, 0) + 1
        return counts

    def answered(self, limit: int = 1000) -> list[FindingDocument]:
        """What institutions answered, written last first."""
        return list(map(_document, self._documents.find(FINDINGS, {"state": ("answered",)}, limit=limit)))

    def waiting(self) -> list[FindingDocument]:
        """What is not answered yet."""
        return list(map(_document, self._documents.find(FINDINGS, {"state": ("waiting", "escalated")}, limit=1000)))

    def _tell(self, alert: Alert, member: str, asked: str, who: str) -> Finding | None:
        for _ in range(_TRIES):
            stored = self._documents.get(FINDINGS, finding_id(alert.id, member))
            revision = _document(stored).finding.revision + 1 if stored else 0
            finding = finding_of(alert, member, self._clock(), asked, self._hours, revision)
            if finding is None:
                return None
            document = FindingDocument(finding=finding, who=who, answers=_document(stored).answers if stored else [])
            try:
                self._write(document, stored)
            except Conflict:
                continue
            return finding
        raise Conflict(alert.id)

    def _escalate(self, document: FindingDocument) -> None:
        self._change(
            document.finding.id,
            lambda now: now.model_copy(update={"state": "escalated"}) if now.state == "waiting" else now,
        )
        alert = self._alerts.get(document.finding.alert)
        if alert is not None:
            self._history(alert, "escalated", CENTRE, document.finding.member, "")
        log.warning("dashboard.finding_overdue", finding=document.finding.id, deadline=document.finding.deadline)

    def _change(self, identity: str, how: Callable[[FindingDocument], FindingDocument]) -> FindingDocument:
        for _ in range(_TRIES):
            stored = self._documents.get(FINDINGS, identity)
            if stored is None:
                raise Unknown(identity)
            before = _document(stored)
            after = how(before)
            if after == before:
                return after
            try:
                self._write(after, stored)
            except Conflict:
                continue
            return after
        raise Conflict(identity)

    def _write(self, document: FindingDocument, stored: Stored | None) -> None:
        body = document.model_dump(mode="json")
        self._documents.put(FINDINGS, document.finding.id, body, stored.version if stored else None)

    def _history(self, alert: Alert, deed: Deed, who: str, after: str, why: str) -> None:
        entry = HistoryEntry(
            at=self._now(), who=who, deed=deed, after=printable(after)[:200], why=printable(why)[:1000]
        )
        self._desk.change(alert, lambda workflow: noted(workflow, entry))

    def _now(self) -> str:
        return to_rfc3339(self._clock())


def _document(stored: Stored) -> FindingDocument:
    return FindingDocument.model_validate(stored.body)


def _mark_sent(now: FindingDocument, sent: Finding) -> FindingDocument:
    return now.model_copy(update={"sent": True}) if now.finding.revision == sent.revision else now
