"""Exceptions: proposed from an alert, put into force by a person, written as Sigma filters for the next rule pack.

A Sigma filter on a correlation rule would be ignored without a word (pySigma), so an exception is about the events: the
detections that the correlation counts leave out what carries the excepted key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

import structlog
import yaml

from connectors.documents import Documents, Kind
from dashboard.language import say
from dashboard.vocabulary import label
from pipeline.detect.filters import compile_filter
from pipeline.detect.load import documents_in
from pipeline.detect.plan import DetectionPlan, LogSource
from pipeline.rulepack import RulePack
from schemas.alert import Alert
from schemas.errors import RuleError
from schemas.rule_exception import MAX_DAYS, ExceptionDocument, ExceptionState, RuleException
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

EXCEPTIONS: Final = Kind("workflow-exceptions", ExceptionDocument)
DAY_MS: Final = 86_400_000
FILE: Final = "exceptions.yml"
_ALLOWED: Final[dict[ExceptionState, frozenset[ExceptionState]]] = {
    "proposed": frozenset({"in_force", "ended"}),
    "in_force": frozenset({"ended"}),
    "ended": frozenset(),
}


class Unfit(Exception):
    """The exception cannot be made or changed; says why."""


class Exceptions:
    """All of them.

    Args:
        documents: where they are kept.
        pack: the rule pack in force; None where it cannot be read.
        folder: where the filters are written for the next pack; None: nowhere.
        clock: ms since 1970.
    """

    def __init__(
        self,
        documents: Documents,
        pack: Callable[[], RulePack | None],
        folder: Path | None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._documents, self._pack, self._folder, self._clock = documents, pack, folder, clock

    def propose(self, alert: Alert, members: list[str], owner: str, reason: str, days: int) -> RuleException:
        """Make one from an alert's shared key.

        Raises:
            Unfit: the alert has no shared key, the time is too long, or no filter can say it.
        """
        if not alert.jointsoc.group_by:
            raise Unfit(say("the alert has no shared key: mend the rule instead"))
        if not 1 <= days <= MAX_DAYS:
            raise Unfit(say("an exception lives 1 to {n} days", n=MAX_DAYS))
        now = self._clock()
        made = RuleException(
            id=str(uuid4()),
            alert=alert.id,
            rule=alert.rule.uuid,
            title=alert.rule.name,
            fields=alert.jointsoc.group_by,
            members=members,
            owner=owner,
            reason=reason,
            made=to_rfc3339(now),
            expires=to_rfc3339(now + days * DAY_MS),
        )
        self._check(made)
        self._documents.put(EXCEPTIONS, made.id, _body(made), None)
        return made

    def decide(self, identity: str, state: ExceptionState, who: str) -> RuleException:
        """Put one into force, or end it.

        Raises:
            Unfit: there is none, or it cannot go there.
            Conflict: somebody else decided at the same moment.
        """
        stored = self._documents.get(EXCEPTIONS, identity)
        if stored is None:
            raise Unfit(say("no such exception"))
        known = ExceptionDocument.model_validate(stored.body).exception
        if state not in _ALLOWED[known.state]:
            raise Unfit(say("this cannot be done now: it is {status}", status=label(known.state)))
        if state == "in_force":
            self._check(known)
        after = known.model_copy(update={"state": state, "decided_by": who, "decided": to_rfc3339(self._clock())})
        self._documents.put(EXCEPTIONS, identity, _body(after), stored.version)
        return after

    def all(self) -> list[RuleException]:
        """Every exception, written last first."""
        found = self._documents.find(EXCEPTIONS, {}, limit=1000)
        return [ExceptionDocument.model_validate(one.body).exception for one in found]

    def write(self) -> None:
        """Bring the filters' file to what is in force now; what expired leaves it by itself."""
        pack = self._pack()
        if self._folder is None or pack is None:
            return
        now = to_rfc3339(self._clock())
        living = [one for one in self.all() if one.state == "in_force" and one.expires > now]
        filters = [document for one in sorted(living, key=lambda e: e.id) for document in filters_of(one, pack)]
        text = yaml.safe_dump_all(filters, sort_keys=False, allow_unicode=True) if filters else ""
        path = self._folder / FILE
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
        log.info("dashboard.exceptions_written", filters=len(filters), path=str(path))

    def _check(self, one: RuleException) -> None:
        pack = self._pack()
        if pack is None:
            raise Unfit(say("the rule pack cannot be read now"))
        filters = filters_of(one, pack)
        if not filters:
            raise Unfit(say("the rule is not in the rule pack any more"))
        try:
            for document in documents_in(yaml.safe_dump_all(filters), Path(FILE)):
                compile_filter(document, {})
        except RuleError as error:
            raise Unfit(str(error)) from error


def filters_of(one: RuleException, pack: RulePack) -> list[dict[str, Any]]:
    """The exception as Sigma filters: one for each log source and spelling of the key among the rule's detections."""
    plans = {plan.id: plan for plan in pack.detections}
    groups: dict[tuple[LogSource, tuple[tuple[str, str], ...]], list[DetectionPlan]] = {}
    for identity, names in _detections(one, pack):
        plan = plans.get(identity)
        if plan is not None:
            key = tuple((names.get(name, name), value) for name, value in one.fields.items())
            groups.setdefault((plan.logsource, key), []).append(plan)
    return [_filter(one, source, key, chosen) for (source, key), chosen in groups.items()]


def _detections(one: RuleException, pack: RulePack) -> Iterable[tuple[str, dict[str, str]]]:
    """Ids of the detections behind the rule, with how each spells the group-by fields."""
    correlation = next((known for known in pack.correlations if known.id == one.rule), None)
    if correlation is None:
        return [(one.rule, {})]
    return [(reference.id, reference.fields) for reference in correlation.references]


def _filter(
    one: RuleException, source: LogSource, key: tuple[tuple[str, str], ...], plans: list[DetectionPlan]
) -> dict[str, Any]:
    names = ("product", "category", "service")
    logsource = {name: value for name, value in zip(names, source.attributes(), strict=True) if value is not None}
    excepted: dict[str, Any] = {name: literal(value) for name, value in key}
    if one.members:
        excepted["organization.id"] = list(one.members)
    place = f"{one.id}/{source}/{[name for name, _ in key]}"
    return {
        "title": f"Exception of {one.title}"[:200],
        "id": str(uuid5(NAMESPACE_URL, place)),
        "status": "stable",
        "description": f"{one.reason}\nOwner: {one.owner}. In force by: {one.decided_by}. Expires: {one.expires}.",
        "author": one.owner,
        "taxonomy": "ecs",  # the names are those of the events, whatever the rule calls them
        "logsource": logsource,
        "filter": {"rules": sorted(plan.id for plan in plans), "excepted": excepted, "condition": "not excepted"},
    }


def literal(value: str) -> str:
    r"""A value as Sigma reads it literally: its wildcards are escaped.

    >>> literal("a*b"), literal("C:\\x?")
    ('a\\*b', 'C:\\\\x\\?')
    """
    return "".join("\\" + char if char in "*?\\" else char for char in value)


def _body(one: RuleException) -> dict[str, Any]:
    return ExceptionDocument(exception=one).model_dump(mode="json")
