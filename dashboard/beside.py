"""What is said beside an alert: who else could have seen it, how the like was closed, what institutions answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.language import say
from dashboard.site import Site
from dashboard.triage import key_of
from dashboard.vocabulary import label
from dashboard.wording import counted, safe
from schemas.alert import Alert
from schemas.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Others:
    """The institutions that were not hit."""

    number: int
    report: int
    unheard: list[str]
    """Names of those that cannot be judged: nothing comes from them."""
    never: int


def others_of(site: Site, alert: Alert, now: int) -> Others:
    """Who was not hit: those who report, those who cannot be judged, those who do not send yet."""
    hit = {member.id for member in alert.jointsoc.members}
    lines = [line for line in site.health.lines(site.names.registry().members, now) if line.member.id not in hit]
    return Others(
        number=len(lines),
        report=sum(line.health == "reporting" for line in lines),
        unheard=[safe(line.member.name, 60) for line in lines if line.health in ("no_heartbeat", "no_events")],
        never=sum(line.health == "unknown" for line in lines),
    )


def others_text(site: Site, alert: Alert, now: int) -> str:
    """The same in a sentence or two."""
    others = others_of(site, alert, now)
    parts = [say("{n} report and were not hit.", n=others.report)]
    if others.unheard:
        parts.append(say("{n} cannot be judged", n=len(others.unheard)) + say("."))
    if others.never:
        parts.append(say("{n} not sending yet.", n=others.never))
    return " ".join(parts)


def same_key(past: Workflow, alert: Alert) -> bool:
    """Whether an alert closed before had this alert's shared key."""
    return bool(past.key) and past.key == key_of(alert)


def before_text(precedents: Sequence[Workflow], alert: Alert) -> str:
    """How this key and this rule were closed before."""
    if not precedents:
        return say("Nobody closed an alert of this rule yet.")
    known = any(same_key(past, alert) for past in precedents)
    key = say("This key was closed before.") if known else say("This key was never closed before.")
    reasons = Counter(past.reason for past in precedents if past.reason)
    closed = say("The rule was closed {times}.", times=counted(len(precedents), "time"))
    return f"{key} {closed} " + say(", ").join(f"{n} {label(reason)}" for reason, n in reasons.most_common())


def told_text(site: Site, alert_id: str) -> str:
    """How many institutions were asked, and what they said; empty if none was."""
    told = site.member_desk.of_alert(alert_id)
    if not told:
        return ""
    said = Counter(one.answers[-1].answer.verdict if one.answers else "waiting" for one in told)
    return say("{n} asked", n=len(told)) + say(": ") + say(", ").join(f"{n} {label(word)}" for word, n in said.items())
