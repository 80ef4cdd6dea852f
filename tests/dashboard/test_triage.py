from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dashboard.background import WorkflowRounds, keep_going
from dashboard.desk import WORKFLOW, Desk
from dashboard.triage import REASONS, Outdated, Refused, Wish, fresh, granted, inherited, reopened
from schemas.alert import Alert
from schemas.times import from_rfc3339
from schemas.workflow import Workflow
from tests.alert_samples import NOON, alert_id, make_alert
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble

START = "2026-10-01T00:00:00.000Z"
AT = "2026-11-23T12:00:00.000Z"
THREE = (("aurora-bank", 0, 20, 5), ("meridian-bank", 7, 27, 6), ("kestrel-bank", 30, 31, 1))


def worked(alert: Alert, *wishes: Wish, who: str = "mei") -> Workflow:
    workflow = fresh(alert, AT)
    for wish in wishes:
        workflow = granted(workflow, wish, alert, who, AT)
    return workflow


def test_an_alert_goes_from_open_over_acknowledged_to_closed_with_a_reason_and_every_step_is_in_its_history() -> None:
    workflow = worked(make_alert(), Wish("acknowledge", 0), Wish("close", 1, "true_positive", "fraud desk confirmed"))
    assert (workflow.status, workflow.reason, workflow.assignee) == ("closed", "true_positive", "mei")
    assert [(e.deed, e.before, e.after, e.why) for e in workflow.history] == [
        ("acknowledged", "open", "acknowledged", ""),
        ("closed", "acknowledged", "true_positive", "fraud desk confirmed"),
    ]
    assert workflow.revision == 2


@pytest.mark.parametrize(
    "wish",
    [
        Wish("close", 0, "because"),
        Wish("close", 0),
        Wish("reopen", 0),
        Wish("tag", 0, ""),
        Wish("tag", 0, "x" * 41),
        Wish("untag", 0, "nothing"),
        Wish("note", 0, "  "),
        Wish("note", 0, "x" * 4001),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_a_reason(wish: Wish) -> None:
    with pytest.raises(Refused):
        worked(make_alert(), wish)


@pytest.mark.parametrize("reason", REASONS)
def test_every_close_reason_closes(reason: str) -> None:
    assert worked(make_alert(), Wish("close", 0, reason)).reason == reason


def test_a_decision_over_something_unread_is_held_back_and_told_who_did_what() -> None:
    alert = make_alert()
    workflow = worked(alert, Wish("acknowledge", 0), who="lin")
    with pytest.raises(Outdated) as caught:
        granted(workflow, Wish("close", 0, "false_positive"), alert, "mei", AT)
    assert [(entry.who, entry.deed) for entry in caught.value.since] == [("lin", "acknowledged")]
    assert granted(workflow, Wish("note", 0, "seen it too"), alert, "mei", AT).notes[0].who == "mei"


def test_a_new_institution_reopens_what_was_closed_and_an_old_one_does_not() -> None:
    closed = worked(make_alert(), Wish("close", 0, "true_positive"))
    assert reopened(closed, make_alert(), AT) is None
    again = reopened(closed, make_alert(spread=THREE), AT)
    assert again is not None
    assert (again.status, again.reason, again.history[-1].who) == ("open", None, "")
    assert "kestrel-bank" in again.history[-1].why
    drill = worked(make_alert(), Wish("close", 0, "drill"))
    assert reopened(drill, make_alert(spread=THREE), AT) is None


def test_what_people_said_of_a_superseded_alert_moves_to_its_successor_and_nothing_said_there_is_lost() -> None:
    old_alert, new_alert = make_alert("old"), make_alert("new")
    old = worked(old_alert, Wish("tag", 0, "fraud"), Wish("close", 1, "true_positive"))
    moved, heir = inherited(old, fresh(new_alert, AT), new_alert, AT)
    assert (moved.status, moved.moved_to) == ("moved", new_alert.id)
    assert (heir.status, heir.reason, heir.tags) == ("closed", "true_positive", ["fraud"])
    assert [e.deed for e in heir.history] == ["tagged", "closed", "moved"]
    touched = worked(new_alert, Wish("acknowledge", 0), Wish("note", 0, "mine"), who="lin")
    _, heir = inherited(old, touched, new_alert, AT)
    assert (heir.status, heir.assignee, heir.tags, heir.notes[0].text) == ("acknowledged", "lin", ["fraud"], "mine")
    with pytest.raises(Refused):
        granted(moved, Wish("reopen", moved.revision), old_alert, "mei", AT)


# ----- the desk: the same over stored documents -----


@pytest.fixture
def documents() -> DocumentsDouble:
    return DocumentsDouble()


@pytest.fixture
def index() -> IndexDouble:
    return IndexDouble([make_alert()])


@pytest.fixture
def desk(documents: DocumentsDouble, index: IndexDouble) -> Desk:
    return Desk(documents, index, lambda: NOON)


def test_two_people_at_once_never_overwrite_each_other(desk: Desk, documents: DocumentsDouble) -> None:
    alert = make_alert()
    documents.before_put.append(lambda: desk.grant(alert, Wish("close", 0, "false_positive"), "lin"))
    with pytest.raises(Outdated) as caught:
        desk.grant(alert, Wish("acknowledge", 0), "mei")
    assert caught.value.since[0].who == "lin"
    assert desk.of(alert).reason == "false_positive"


def test_two_notes_at_once_are_both_kept(desk: Desk, documents: DocumentsDouble) -> None:
    alert = make_alert()
    documents.before_put.append(lambda: desk.grant(alert, Wish("note", 0, "first"), "lin"))
    desk.grant(alert, Wish("note", 0, "second"), "mei")
    assert [note.text for note in desk.of(alert).notes] == ["first", "second"]


def test_the_centre_reopens_and_moves_by_itself_and_doing_it_again_changes_nothing(
    desk: Desk, index: IndexDouble
) -> None:
    first = make_alert()
    desk.grant(first, Wish("close", 0, "true_positive"), "mei")
    assert desk.keep(START) == first.event.created
    assert desk.of(first).status == "closed"
    index.alerts = [make_alert(spread=THREE)]
    desk.keep(START)
    assert desk.of(first).status == "open"
    successor = make_alert("later", spread=THREE)
    index.alerts = [make_alert(state="superseded", superseded_by=successor.id), successor]
    desk.keep(START)
    assert desk.of(first).moved_to == successor.id
    assert [e.deed for e in desk.of(successor).history] == ["closed", "reopened", "moved"]
    before = desk.of(first), desk.of(successor)
    desk.keep(START)
    assert (desk.of(first), desk.of(successor)) == before


def test_an_alert_that_says_it_was_made_in_the_future_does_not_hide_those_made_now(
    desk: Desk, index: IndexDouble
) -> None:
    first, ahead = make_alert(), make_alert("ahead")
    desk.grant(first, Wish("close", 0, "true_positive"), "mei")
    ahead.event.created = "2099-01-01T00:00:00.000Z"
    index.alerts = [first, ahead]
    rounds = WorkflowRounds(desk, lambda: from_rfc3339(first.event.created))
    rounds()
    index.alerts = [make_alert(spread=THREE), ahead]
    rounds()
    assert desk.of(first).status == "open"


@pytest.mark.parametrize("broken_write", [1, 2])
def test_a_move_that_was_cut_in_half_is_finished_once(
    desk: Desk, documents: DocumentsDouble, index: IndexDouble, broken_write: int
) -> None:
    first, successor = make_alert(), make_alert("later")
    desk.grant(first, Wish("note", 0, "kept"), "mei")
    index.alerts = [make_alert(state="superseded", superseded_by=successor.id), successor]

    def fail() -> None:
        raise KeyboardInterrupt

    documents.before_put += [lambda: None] * (broken_write - 1) + [fail]
    with pytest.raises(KeyboardInterrupt):
        desk.keep(START)
    desk.keep(START)
    assert [note.text for note in desk.of(successor).notes] == ["kept"]
    assert desk.of(first).moved_to == successor.id


def test_precedents_are_closed_alerts_of_the_same_rule_with_the_same_key_first(desk: Desk) -> None:
    def closed(name: str, reason: str, **more: object) -> None:
        desk.grant(make_alert(name, **more), Wish("close", 0, reason), "mei")  # type: ignore[arg-type]

    closed("same", "benign_true_positive")
    closed("other", "false_positive", group_by={"source.ip": "198.51.100.1"})
    desk.grant(make_alert("open"), Wish("acknowledge", 0), "mei")
    assert [p.id for p in desk.precedents(make_alert())] == [alert_id("same"), alert_id("other")]


def test_the_keeper_works_in_the_background_and_survives_an_index_that_is_away(
    desk: Desk, documents: DocumentsDouble, index: IndexDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.background.ROUND_SECONDS", 0.01)
    desk.grant(make_alert(), Wish("close", 0, "true_positive"), "mei")
    index.away = True
    index.alerts = [make_alert(spread=THREE)]
    stop = threading.Event()
    rounds = WorkflowRounds(desk, lambda: NOON)
    keeper = threading.Thread(target=keep_going, args=("workflows", rounds, stop), daemon=True)
    keeper.start()
    index.away = False
    deadline = time.monotonic() + 60
    while desk.of(make_alert()).status != "open" and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    keeper.join(10)
    assert desk.of(make_alert()).status == "open"


def test_ids_are_found_by_status_assignee_and_tag(desk: Desk, documents: DocumentsDouble) -> None:
    a, b = make_alert("a"), make_alert("b")
    desk.grant(a, Wish("acknowledge", 0), "mei")
    desk.grant(b, Wish("close", 0, "drill"), "lin")
    desk.grant(b, Wish("tag", 0, "exercise"), "lin")
    ids: Callable[..., list[str]] = desk.ids
    assert ids(statuses=("closed",)) == [b.id]
    assert ids(statuses=("closed", "acknowledged"), assignee="mei") == [a.id]
    assert ids(statuses=("closed",), tag="exercise") == [b.id]
    assert desk.with_status(("closed", "moved")) == {b.id}
    assert desk.counts("level", "closed") == {"high": 1}
    assert desk.counts("status") == {"acknowledged": 1, "closed": 1}
    assert set(documents.indices) == {WORKFLOW.index}


def test_statuses_that_another_process_writes_are_learnt_and_those_written_here_known_at_once(
    desk: Desk, documents: DocumentsDouble, index: IndexDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = make_alert("a"), make_alert("b"), make_alert("c")
    other = Desk(documents, index, lambda: NOON - 50_000)
    other.grant(a, Wish("close", 0, "drill"), "lin")
    assert desk.with_status(("closed",)) == {a.id}
    desk.grant(b, Wish("close", 0, "drill"), "mei")
    assert desk.with_status(("closed",)) == {a.id, b.id}
    monkeypatch.setattr("dashboard.desk._KEEP_SECONDS", -1.0)
    other.grant(c, Wish("close", 0, "drill"), "lin")
    other.grant(a, Wish("reopen", 1), "lin")
    assert desk.with_status(("closed",)) == {b.id, c.id}


def test_who_closes_more_than_can_be_remembered_is_told(
    desk: Desk, documents: DocumentsDouble, index: IndexDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        desk.grant(make_alert(name), Wish("close", 0, "drill"), "mei")
    monkeypatch.setattr("tests.dashboard.documents_double.MAX_IDS", 2)
    monkeypatch.setattr("dashboard.desk.MAX_IDS", 2)
    later = Desk(documents, index)
    assert later.with_status(("closed",)) == {make_alert("b").id, make_alert("c").id}
    assert later.forgets
    assert not desk.forgets
