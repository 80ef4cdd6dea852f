"""What members are told and see: their own part, and never another's id, name or evidence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from connectors.topic_follower import TopicRecord
from dashboard.accounts import Accounts
from dashboard.app import ROUTERS
from dashboard.background import hear
from dashboard.desk import Desk
from dashboard.member_desk import MemberDesk, Unknown
from dashboard.member_view import DEADLINE_HOURS, finding_of
from schemas.alert import Alert, SharePolicy
from schemas.errors import ConnectionError_
from schemas.finding import Answer, Finding, finding_id
from schemas.member_part import part_of
from schemas.shared_part import shared_part_of
from schemas.times import now_ms
from tests.alert_samples import NOON, alert_id, make_alert, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import MEMBERS, IndexDouble, form_token, log_in, open_site

NAMES = [*MEMBERS, "cobalt-bank", "harbor-securities", "juniper-insurance"]


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    hit = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    spread = [(member, float(i), i + draw(st.floats(0, 30)), draw(st.integers(1, 500))) for i, member in enumerate(hit)]
    key = draw(st.sampled_from([{"source.ip": "203.0.113.77"}, {"organization.id": hit[-1]}, {hit[0]: "x"}, {}]))
    alert = make_alert(
        draw(st.text("abc", min_size=1, max_size=3)),
        spread=spread,
        level=draw(st.sampled_from(list(DEADLINE_HOURS))),
        message=f"seen at {', '.join(hit)}",
        group_by=key,
    )
    alert.jointsoc.tlp = draw(st.sampled_from(["red", "amber+strict", "amber", "green", "clear"]))
    alert.jointsoc.groups = len(hit)
    alert.jointsoc.share = draw(
        st.none() | st.builds(SharePolicy, k=st.integers(2, 4), tlp=st.sampled_from(["green", "clear", "amber"]))
    )
    if draw(st.booleans()):  # evidence whose member and topic contradict each other belongs to nobody
        alert.jointsoc.evidence[0].member = draw(st.sampled_from(NAMES))
    return alert


def secrets_of(alert: Alert, member: str) -> set[str]:
    """What a member must not learn from an alert."""
    others = {part.id for part in alert.jointsoc.members} - {member}
    foreign = [item for item in alert.jointsoc.evidence if item.topic != f"events.{member}"]
    return others | {MEMBERS[other] for other in others if other in MEMBERS} | {item.event_id for item in foreign}


@given(alerts(), st.sampled_from(NAMES))
def test_no_document_of_a_members_own_index_holds_anything_of_another(alert: Alert, member: str) -> None:
    part = part_of(alert, member)
    assert (part is None) == (member not in {hit.id for hit in alert.jointsoc.members})
    told = part.to_json().decode() if part else ""
    assert not [secret for secret in secrets_of(alert, member) if secret in told]


@given(alerts())
def test_what_is_shared_with_all_members_holds_nothing_of_any(alert: Alert) -> None:
    part, policy = shared_part_of(alert), alert.jointsoc.share
    allowed = policy is not None and policy.tlp in ("green", "clear") and alert.jointsoc.groups >= policy.k
    assert (part is not None) == allowed
    told = part.to_json().decode() if part else ""
    assert not [secret for secret in secrets_of(alert, "nobody") if secret in told]
    exact = {alert.event.start, alert.event.end, *(hit.first_seen for hit in alert.jointsoc.members)}
    assert not [at for at in exact if at in told and not at.endswith(":00:00.000Z")]


def test_a_key_that_names_an_institution_without_its_hyphen_is_kept_back() -> None:
    key = {"dns.question.name": "login.KestrelBank.example", "source.ip": "203.0.113.7"}
    alert = make_alert(spread=(("kestrel-bank", 0, 0, 1), ("heron-bank", 1, 1, 1), ("merlin", 2, 2, 1)), group_by=key)
    alert.jointsoc.share, alert.jointsoc.groups = SharePolicy(k=3, tlp="green"), 3
    part = shared_part_of(alert)
    assert part is not None
    assert part.key == {"source.ip": "203.0.113.7"}
    assert part.groups == "2-4"
    assert part.timestamp.endswith(":00:00.000Z")


@given(alerts(), st.sampled_from(NAMES))
def test_no_finding_holds_anything_of_another_member(alert: Alert, member: str) -> None:
    finding = finding_of(alert, member, NOON)
    if member not in {part.id for part in alert.jointsoc.members}:
        assert finding is None
        return
    assert finding is not None
    told = finding.model_dump_json()
    assert not [secret for secret in secrets_of(alert, member) if secret in told]
    assert finding.hits == next(part.count for part in alert.jointsoc.members if part.id == member)
    if alert.jointsoc.tlp in ("red", "amber+strict"):
        assert finding.key == {}


class House:
    """The dashboard, with a lead and a viewer of Kestrel Bank."""

    def __init__(self, folder: Path, index: IndexDouble) -> None:
        self.index, self.documents = index, DocumentsDouble()
        self.lead = open_site(folder, index, self.documents)
        self.site: Any = self.lead.app.state.site  # type: ignore[attr-defined]
        self.password = self.site.accounts.add("kim", "member_viewer", "kestrel-bank")
        self.viewer = TestClient(
            self.lead.app, base_url="http://127.0.0.1:19080", follow_redirects=False, raise_server_exceptions=False
        )
        log_in(self.lead, folder)
        self.lead.headers["x-form-token"] = form_token(self.lead.get("/").text)
        assert log_in(self.viewer, folder, name="kim", password=self.password) == 303
        self.viewer.headers["x-form-token"] = form_token(self.viewer.get("/own").text)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, IndexDouble(stories(now_ms())))


TRANSFER = alert_id("transfer")


def notify(house: House, members: list[str], asked: str = "Please check these log-ins.") -> list[dict[str, Any]]:
    body = {"members": members, "asked": asked}
    told: list[dict[str, Any]] = house.lead.post(f"/api/v1/alerts/{TRANSFER}/findings", json=body).json()
    return told


def test_every_response_to_a_member_viewer_is_free_of_other_members(house: House) -> None:
    notify(house, ["kestrel-bank", "cobalt-bank"])
    others = {name for name in NAMES if name != "kestrel-bank"} | {
        name for member, name in MEMBERS.items() if member != "kestrel-bank"
    }
    foreign = {
        item.event_id
        for alert in house.index.alerts
        for item in alert.jointsoc.evidence
        if item.member != "kestrel-bank"
    }
    paths = {route.path for router in ROUTERS for route in router.routes} - {"/login"}  # type: ignore[attr-defined]
    seen = set()
    for path in sorted(paths):
        address = re.sub(r"\{alert_id\}", TRANSFER, path)
        address = re.sub(r"\{finding_id\}", finding_id(TRANSFER, "cobalt-bank"), address)
        address = re.sub(r"\{\w+\}", "0", address)
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = house.viewer.request(method, address, json={"verdict": "confirmed"} if method == "POST" else None)
            seen.add((path, answer.status_code))
            assert not [secret for secret in others | foreign if secret in answer.text], (method, path)
    assert ("/own", 200) in seen
    assert ("/api/v1/own/alerts", 200) in seen
    assert ("/api/queue", 403) in seen
    assert ("/alerts/{alert_id}", 403) in seen


def test_a_member_viewer_reads_and_answers_its_finding_and_the_centre_sees_the_answer(house: House) -> None:
    assert [one["member"] for one in notify(house, ["kestrel-bank", "unknown-bank"])] == ["kestrel-bank"]
    page = house.viewer.get("/own").text
    assert "Please check these log-ins." in page
    assert "203.0.113.77" in page
    (finding,) = house.viewer.get("/api/v1/own/findings").json()
    assert (finding["state"], finding["finding"]["others"]) == ("waiting", "5-9")
    body = {"verdict": "confirmed", "incident": "INC-7", "reason": "two accounts"}
    address = f"/api/v1/own/findings/{finding['finding']['id']}/answer"
    assert house.viewer.post(address, json=body).json()["state"] == "answered"
    told = house.lead.get(f"/alerts/{TRANSFER}").text
    for text in ("INC-7", "two accounts", "Confirmed", "Institution answered"):
        assert text in told
    rule = next(alert for alert in house.index.alerts if alert.id == TRANSFER).rule.uuid
    assert house.lead.get("/api/boards/rules").json()["cells"][f"{rule}.said"][0] == "1 / 0 / 0"


def test_a_member_cannot_answer_for_another(house: House) -> None:
    notify(house, ["cobalt-bank"])
    address = f"/api/v1/own/findings/{finding_id(TRANSFER, 'cobalt-bank')}/answer"
    assert house.viewer.post(address, json={"verdict": "false_alarm"}).status_code == 404
    assert house.site.member_desk.of_alert(TRANSFER)[0].state == "waiting"


def test_people_of_the_centre_have_no_institution_of_their_own(house: House) -> None:
    assert house.lead.get("/api/v1/own/findings").status_code == 403
    assert house.viewer.get("/").headers["location"] == "/own"


def test_a_change_of_role_ends_the_session(house: House, tmp_path: Path) -> None:
    Accounts(tmp_path).remove("kim")
    assert house.viewer.get("/own").status_code == 303


# ----- the member desk by itself -----


@pytest.fixture
def documents() -> DocumentsDouble:
    return DocumentsDouble()


class Clock:
    now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(documents: DocumentsDouble, clock: Clock) -> MemberDesk:
    index = IndexDouble([make_alert()])
    return MemberDesk(documents, index, Desk(documents, index, clock), clock)


def test_what_waits_is_sent_once_and_again_after_a_failure(desk: MemberDesk) -> None:
    desk.notify(make_alert(), ["aurora-bank", "meridian-bank"], "check", "mei")
    sent: list[Finding] = []

    def broken(finding: Finding) -> None:
        if finding.member == "meridian-bank" and len(sent) < 2:
            sent.append(finding)
            raise ConnectionError_("kafka", "away")
        sent.append(finding)

    with pytest.raises(ConnectionError_):
        desk.keep(broken)
    desk.keep(broken)
    desk.keep(broken)
    assert [finding.member for finding in sent] == ["aurora-bank", "meridian-bank", "meridian-bank"]


def test_an_unanswered_finding_escalates_once_when_its_deadline_is_over(desk: MemberDesk, clock: Clock) -> None:
    alert = make_alert()
    desk.notify(alert, ["aurora-bank"], "", "mei")
    desk.keep(lambda finding: None)
    clock.now += DEADLINE_HOURS["high"] * 3_600_000
    desk.keep(lambda finding: None)
    assert desk.of_alert(alert.id)[0].state == "waiting"
    clock.now += 1
    desk.keep(lambda finding: None)
    desk.keep(lambda finding: None)
    assert desk.of_alert(alert.id)[0].state == "escalated"
    history = Desk(desk._documents, IndexDouble([alert])).of(alert).history
    assert [(e.deed, e.who, e.after) for e in history] == [
        ("notified", "mei", "aurora-bank"),
        ("escalated", "", "aurora-bank"),
    ]
    desk.answer("aurora-bank", Answer(finding=finding_id(alert.id, "aurora-bank"), verdict="cannot_tell"), "kim")
    assert desk.of_alert(alert.id)[0].state == "answered"


def test_telling_again_keeps_the_answers_and_sends_again(desk: MemberDesk) -> None:
    alert = make_alert()
    answer = Answer(finding=finding_id(alert.id, "aurora-bank"), verdict="false_alarm")
    desk.notify(alert, ["aurora-bank"], "", "mei")
    desk.keep(lambda finding: None)
    desk.answer("aurora-bank", answer, "kim")
    desk.notify(alert, ["aurora-bank"], "look again, please", "mei")
    (document,) = desk.of_alert(alert.id)
    assert (document.state, document.sent, document.finding.revision) == ("waiting", False, 1)
    assert [record.answer.verdict for record in document.answers] == ["false_alarm"]


def record(topic: str, value: bytes | None) -> TopicRecord:
    return SimpleNamespace(topic=topic, partition=0, offset=7, timestamp=NOON, value=value)  # type: ignore[return-value]


def test_answers_are_heard_from_the_members_own_topic_only_and_twice_is_once(desk: MemberDesk) -> None:
    alert = make_alert()
    desk.notify(alert, ["aurora-bank"], "", "mei")
    value = (
        Answer(finding=finding_id(alert.id, "aurora-bank"), verdict="confirmed", incident="1")
        .model_dump_json()
        .encode()
    )
    hear(desk, record("feedback.meridian-bank", value))
    assert desk.of_alert(alert.id)[0].answers == []
    hear(desk, record("feedback.aurora-bank", value))
    hear(desk, record("feedback.aurora-bank", value))
    assert [r.who for r in desk.of_alert(alert.id)[0].answers] == ["aurora-bank (feed)"]


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b'{"finding":"x"}', b"x" * 100_000, b'{"finding":"x","verdict":"confirmed"}']
)
def test_what_is_no_answer_is_told_and_does_not_stop_the_others(
    desk: MemberDesk, value: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    hear(desk, record("feedback.aurora-bank", value))
    assert "feedback.aurora-bank/0/7" in capsys.readouterr().out


def test_an_answer_that_cannot_be_kept_now_is_not_swallowed(desk: MemberDesk, documents: DocumentsDouble) -> None:
    documents.away = True
    value = Answer(finding="x", verdict="confirmed").model_dump_json().encode()
    with pytest.raises(ConnectionError_):
        hear(desk, record("feedback.aurora-bank", value))


def test_nobody_reads_the_finding_of_another(desk: MemberDesk) -> None:
    desk.notify(make_alert(), ["aurora-bank"], "", "mei")
    read: Callable[..., Any] = desk.get
    with pytest.raises(Unknown):
        read("meridian-bank", finding_id(make_alert().id, "aurora-bank"))
