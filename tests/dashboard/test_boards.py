from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from connectors.alert_query import AlertQuery
from dashboard.boards import (
    FEW,
    age_edges,
    age_rows,
    balance,
    latencies,
    rule_lines,
    tactic_cells,
    times_to_answer,
)
from dashboard.charts import WIDTH, latency_chart, paces, volume_chart
from dashboard.health_board import QUIET_AFTER_MS, SILENT_AFTER_MS, HealthBoard
from dashboard.member_view import finding_of
from dashboard.members_board import panels_of
from dashboard.rule_data import Feed, feeds_of
from dashboard.wording import NOTHING
from pipeline.rulepack import build_pack
from schemas.finding import Answer, AnswerRecord, FindingDocument
from schemas.health import Heartbeat, InputCounters, PackReport, PartitionAccount
from schemas.member import Member, MemberRegistry
from schemas.times import now_ms, to_rfc3339
from tests.alert_samples import MINUTE, NOON, make_alert, stories
from tests.dashboard.index_double import IndexDouble, log_in, open_site
from tests.dashboard.live_site import RULES

KESTREL = Member(id="kestrel-bank", name="Kestrel Bank")


def message(topic: str, at: int, body: Any) -> Any:
    return SimpleNamespace(topic=topic, partition=0, offset=0, timestamp=at, value=body.to_json())


def heartbeat(at: int, member: str = "kestrel-bank") -> Any:
    beat = Heartbeat(
        timestamp=to_rfc3339(at), member=member, agent="1", inputs=[InputCounters(name="a")], spool_bytes=9
    )
    return message("health.kestrel-bank", at, beat)


def account(at: int, lines: int, dead: int = 0) -> Any:
    body = PartitionAccount(
        timestamp=to_rfc3339(at), topic="events.kestrel-bank", partition=0, next_offset=lines,
        lines=lines, evaluated=lines - dead, dead=dead, late=2,
    )  # fmt: skip
    return message("health", at, body)


def health(board: HealthBoard, now: int, member: Member = KESTREL) -> str:
    return board.lines([member], now)[0].health


def test_the_two_kinds_of_silence_are_told_apart() -> None:
    board = HealthBoard()
    assert health(board, NOON) == "unknown"
    board.take(heartbeat(NOON))
    board.take(account(NOON, 5))
    assert health(board, NOON + 1000) == "reporting"
    assert health(board, NOON + SILENT_AFTER_MS + 1) == "no_heartbeat"
    later = NOON + QUIET_AFTER_MS + 1
    board.take(heartbeat(later))
    board.take(account(later, 5))
    assert health(board, later) == "no_events", "an account without new lines is no event"
    board.take(account(later, 6))
    assert health(board, later) == "reporting"
    assert health(board, later, KESTREL.model_copy(update={"enabled": False})) == "disabled"


def test_a_shipper_without_heartbeats_reports_by_its_events() -> None:
    board = HealthBoard()
    board.take(account(NOON, 5))
    assert health(board, NOON + 1000) == "reporting"
    assert health(board, NOON + QUIET_AFTER_MS) == "no_heartbeat"


def test_whose_heartbeat_it_is_the_topic_tells_and_an_older_one_changes_nothing() -> None:
    board = HealthBoard()
    board.take(heartbeat(NOON, member="someone-else"))
    board.take(heartbeat(NOON - 60_000))
    (line,) = board.lines([KESTREL], NOON)
    assert (line.heartbeat, line.waiting) == (NOON, 9)


def test_a_member_cannot_give_itself_out_for_the_job() -> None:
    board = HealthBoard()
    forged = account(NOON, 10)
    forged.topic = "health.kestrel-bank"
    board.take(forged)
    assert board.accounts() == []


def test_what_is_no_health_message_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    board = HealthBoard()
    for value in (None, b"", b"{", b'{"kind":"heartbeat"}'):
        board.take(SimpleNamespace(topic="health.x", partition=0, offset=3, timestamp=NOON, value=value))  # type: ignore[arg-type]
    assert board.newest == 0
    assert "health.x/0/3" in capsys.readouterr().out


def test_other_messages_of_the_topic_are_signs_of_life_and_nothing_more() -> None:
    board = HealthBoard()
    report = PackReport(timestamp=to_rfc3339(NOON), stage="detect", worker="detect/0", version="v")
    board.take(message("health", NOON, report))
    assert board.newest == NOON
    assert board.accounts() == []


def test_who_needs_a_person_comes_first() -> None:
    board = HealthBoard()
    board.take(heartbeat(NOON))
    board.take(account(NOON, 5))
    other = Member(id="aurora-bank", name="Bank Aurora")
    assert [line.member.id for line in board.lines([KESTREL, other], NOON)] == ["aurora-bank", "kestrel-bank"]


def test_the_balance_shows_what_is_neither_evaluated_nor_dead() -> None:
    board = HealthBoard()
    board.take(account(NOON, 10, dead=3))
    assert balance(board.accounts()).difference == 0
    lost = board.accounts()[0].model_copy(update={"evaluated": 6})
    assert balance([lost]).difference == 1


def test_rules_are_ordered_by_what_fired_and_precision_needs_a_few_answers() -> None:
    rules = [("a", "A", "high"), ("b", "B", "low"), ("c", "C", "low")]
    lines = rule_lines(rules, {"b": 7, "x": 1}, {"b": {"confirmed": FEW - 1}, "a": {"confirmed": 3, "false_alarm": 2}})
    assert [(line.id, line.fired, line.precision) for line in lines] == [
        ("b", 7, None), ("x", 1, None), ("a", 0, 60), ("c", 0, None),
    ]  # fmt: skip


def test_tactics_come_from_tags_and_alerts() -> None:
    tags = [("attack.credential-access", "attack.t1110.004"), ("attack.credential_access", "attack.s0001", "cve.1")]
    cells = tactic_cells(tags, {"impact": 2})
    assert [(cell.name, cell.fired, cell.rules) for cell in cells] == [("credential-access", 0, 2), ("impact", 2, 0)]


def test_a_tactic_is_one_column_however_it_is_written_and_holds_the_techniques_of_its_rules() -> None:
    tags = [("attack.credential-access", "attack.t1110.004"), ("attack.credential-access", "attack.t1621")]
    cells = tactic_cells(tags, {"Credential Access": 3}, {"T1110.004": 2, "T1110.003": 1})
    (column,) = [cell for cell in cells if cell.rules]
    assert (column.name, column.fired) == ("credential-access", 3)
    assert [(one.id, one.fired) for one in column.techniques] == [("T1110", 3), ("T1621", 0)]
    assert cells[0].name == "reconnaissance", "ATT&CK's order, with the columns no rule covers"


def test_the_last_hour_tells_events_heartbeats_and_what_is_not_known() -> None:
    board = HealthBoard()
    for minute in range(10):
        at = NOON + minute * MINUTE
        board.take(account(at, 600 * (minute + 1), dead=minute))
        if minute < 6:
            board.take(heartbeat(at))
    (line,) = board.lines([KESTREL], NOON + 9 * MINUTE, minutes=60)
    assert line.recent == (5400, 0, 9)
    (longer,) = board.lines([KESTREL], NOON + 100 * MINUTE, minutes=360)
    assert longer.recent == (5400, 0, 9), "what the hour does not tell any more, six hours do"
    assert any(column.lines for column in longer.columns)
    assert line.rate == 600 * 5 / 300
    assert [(c.lines > 0, c.heartbeat, c.alive) for c in line.columns[-5:]] == [
        (True, True, True), (True, True, True), (True, True, True), (True, False, True), (True, False, True),
    ]  # fmt: skip
    assert not line.columns[0].alive, "before the first word nothing is known"
    assert board.silent("kestrel-bank", NOON + 11 * MINUTE, NOON + 12 * MINUTE)
    assert not board.silent("kestrel-bank", NOON - MINUTE, NOON), "what is not remembered is not called silent"
    assert not board.silent("nobody", NOON, NOON + MINUTE)


def test_who_falls_behind_is_told_by_the_oldest_line_that_waits() -> None:
    board = HealthBoard()
    beat = Heartbeat(
        timestamp=to_rfc3339(NOON), member="kestrel-bank", agent="1",
        inputs=[InputCounters(name="a", spool_oldest=to_rfc3339(NOON - 48_000))],
    )  # fmt: skip
    board.take(message("health.kestrel-bank", NOON, beat))
    board.take(account(NOON, 5))
    (line,) = board.lines([KESTREL], NOON)
    assert (line.lag, line.behind) == (48_000, True)


def test_ages_are_counted_in_the_first_column_they_fit() -> None:
    waiting = [
        make_alert(start=NOON - minutes * MINUTE, spread=(("a-bank", 0, 0, 1),)) for minutes in (1, 15, 61, 241, 99_999)
    ]
    rows = age_rows(IndexDouble(waiting).ages(AlertQuery(), age_edges(NOON)))
    high = next(row for row in rows if row.level == "high")
    assert high.counts == (2, 0, 1, 1, 1)
    assert [high.past(column) for column in range(5)] == [False, False, True, True, True]
    assert age_rows({})[0].counts == (0,) * 5


def test_latency_is_measured_on_alerts_made_on_arrival_only() -> None:
    assert latencies([make_alert(), make_alert(state="settled")]) == [1200]


@pytest.fixture
def analyst(tmp_path: Path) -> TestClient:
    client = open_site(tmp_path, IndexDouble(stories(now_ms())))
    log_in(client, tmp_path)
    return client


@pytest.mark.parametrize("name", ["members", "rules", "operations"])
def test_every_cell_of_a_board_is_on_its_page_and_kept_up_to_date(analyst: TestClient, name: str) -> None:
    site = analyst.app.state.site  # type: ignore[attr-defined]
    site.health.take(heartbeat(now_ms()))
    page = analyst.get(f"/{name}").text
    update = analyst.get(f"/api/boards/{name}").json()
    assert update["cells"]
    missing = [cell for cell in update["cells"] if f'data-cell="{cell}"' not in page]
    assert missing == []


def test_boards_without_their_index_say_so(analyst: TestClient) -> None:
    analyst.app.state.site.index.away = True  # type: ignore[attr-defined]
    assert analyst.get("/rules").status_code == 503
    assert analyst.get("/operations").status_code == 503
    assert analyst.get("/members").status_code == 200
    assert analyst.get("/api/boards/rules").status_code == 503
    assert analyst.get("/api/boards/none").status_code == 404


def test_hours_that_nothing_is_known_of_are_not_drawn_as_zero() -> None:
    chart = volume_chart(lambda _start, _end: 0, NOON - 60 * MINUTE, NOON, ZoneInfo("UTC"))
    assert chart.unknown == pytest.approx(WIDTH * 5 / 6, abs=0.1)
    assert volume_chart(lambda _start, _end: 0, None, NOON, ZoneInfo("UTC")).unknown == WIDTH
    assert volume_chart(lambda _start, _end: 0, NOON - 600 * MINUTE, NOON, ZoneInfo("UTC")).unknown == 0


def test_latency_is_drawn_for_the_hours_that_had_alerts_only() -> None:
    chart = latency_chart([make_alert(start=NOON - 30 * MINUTE)], NOON, ZoneInfo("UTC"))
    assert len(chart.dots) == 1
    assert chart.last == "1.2 s"
    assert latency_chart([], NOON, ZoneInfo("UTC")).dots == ()


def test_institutions_stand_under_their_sector_their_group_or_each_of_their_data_sets() -> None:
    members = [
        Member(id="aurora-bank", name="Bank Aurora", kind="bank", group="aurora", datasets=("nginx", "sshd")),
        Member(id="aurora-life", name="Aurora Life", kind="insurer", group="aurora", datasets=("nginx",)),
        KESTREL,
    ]
    lines = HealthBoard().lines(members, NOON)

    def panels(by: str) -> dict[str, list[str]]:
        return {title: [line.member.id for line in own] for title, own in panels_of(lines, by).items()}

    assert panels("sector")["insurer"] == ["aurora-life"]
    assert panels("group") == {"aurora": ["aurora-bank", "aurora-life"], "On their own": ["kestrel-bank"]}
    assert panels("dataset") == {
        "nginx": ["aurora-bank", "aurora-life"], "sshd": ["aurora-bank"], "No data set declared": ["kestrel-bank"],
    }  # fmt: skip


def test_a_rule_whose_data_too_few_groups_send_now_is_told() -> None:
    pack = build_pack([RULES], MemberRegistry())
    rule = next(rule for rule in pack.correlations if rule.title == "Credential stuffing of customer portals")
    groups = ("aurora", "aurora", "kestrel", "heron", "tern")
    members = [
        Member(id=f"bank-{n}", name="", group=group, datasets=("portal.audit" if n < 4 else "windows.sysmon",))
        for n, group in enumerate(groups)
    ]
    everybody = frozenset(member.id for member in members)
    assert feeds_of(pack, members, everybody)[rule.id] == Feed(3, 3, 3)
    dry = feeds_of(pack, members, everybody - {"bank-3"})[rule.id]
    assert (dry, dry.too_few) == (Feed(2, 3, 3), True)
    undeclared = Member(id="other", name="")
    assert not feeds_of(pack, [*members, undeclared], everybody - {"bank-3"} | {"other"})[rule.id].too_few
    assert feeds_of(pack, [undeclared], frozenset()) == {}, "where nobody declares anything, nothing is claimed"


def test_how_fast_institutions_answer_is_counted_from_their_last_telling() -> None:
    def told(made: int, *answers: int) -> FindingDocument:
        finding = finding_of(make_alert(), "aurora-bank", NOON + made)
        assert finding
        records = [
            AnswerRecord(answer=Answer(finding=finding.id, verdict="confirmed"), member="aurora-bank", who="kim",
                         at=to_rfc3339(NOON + at))
            for at in answers
        ]  # fmt: skip
        return FindingDocument(finding=finding, who="mei", answers=records)

    assert times_to_answer([told(0, 9_000, 20_000), told(5_000, 1_000, 6_000), told(0)]) == [1_000, 9_000]
    paced = {pace.name: pace.median for pace in paces([], {}, [told(0, 120_000)])}
    assert (paced["Answer, High"], paced["Answer, Critical"]) == ("2 m", NOTHING)
