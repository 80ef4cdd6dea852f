from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.alert_index import AlertQuery, Found
from pipeline.cli.alerts import alerts
from schemas.alert import Alert, Evidence
from schemas.errors import ConfigError
from tests.alert_samples import alert_id, make_alert, stories

ALERTS = stories(1_795_435_200_000)


class Index:
    """Stands for the index; remembers what was asked."""

    asked: list[AlertQuery]
    found: list[Alert]

    def __init__(self, connection: object, *, request_timeout: float) -> None:
        pass

    def find(self, query: AlertQuery) -> Found:
        self.asked.append(query)
        return Found(self.found[: query.limit], len(self.found))

    def get(self, identity: str) -> Alert | None:
        return next((alert for alert in self.found if alert.id == identity), None)

    def close(self) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Index.asked, Index.found = [], ALERTS
    monkeypatch.setattr("pipeline.cli.alerts.AlertIndex", Index)
    path = tmp_path / "operator.yml"
    path.write_text("elasticsearch: {url: 'http://x', username: operator, password_file: /nowhere}")
    return path


def run(*arguments: str | Path, columns: int = 100) -> Result:
    return CliRunner().invoke(alerts, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)})


def test_the_table_fits_80_columns_and_names_level_sentence_key_members_times_state_and_id(config: Path) -> None:
    result = run("list", "--config", config, columns=80)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    flat = re.sub(r"\s+", " ", result.stdout)
    for text in ("critical", "then a transfer at", "source.ip 203.0.113.77", "aurora-bank > meridian-bank", "1,286",
                 "settled", alert_id("transfer")):  # fmt: skip
        assert text in flat


def test_json_is_one_alert_for_each_line_exactly_as_it_is_stored(config: Path) -> None:
    result = run("list", "--config", config, "--format", "json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        json.loads(alert.to_json()) for alert in ALERTS
    ]


def test_options_become_the_question(config: Path) -> None:
    run(
        "list",
        "--config",
        config,
        "--state",
        "settled",
        "--level",
        "high",
        "--level",
        "low",
        "--text",
        "x",
        "--limit",
        "3",
    )
    assert Index.asked == [AlertQuery(states=("settled",), levels=("high", "low"), text="x", limit=3)]


def test_superseded_alerts_are_left_out_unless_asked_for(config: Path) -> None:
    run("list", "--config", config)
    assert Index.asked[0].states == ("open", "settled")


def test_a_cut_list_says_so_on_stderr(config: Path) -> None:
    result = run("list", "--config", config, "--limit", "2", "--format", "json")
    assert len(result.stdout.splitlines()) == 2
    assert "2 of 7 alerts shown" in result.stderr


def test_one_alert_is_shown_with_members_in_order_and_evidence(config: Path) -> None:
    result = run("show", alert_id("transfer"), "--config", config, columns=200)
    lines = [line.strip() for line in result.stdout.splitlines()]
    members = [
        line.split()[0] for line in lines[lines.index("Order of spread") + 2 : lines.index("Evidence")] if line.strip()
    ]
    assert members == [member.id for member in ALERTS[1].jointsoc.members]
    assert "events.kestrel-bank / 1 /" in result.stdout
    assert json.loads(run("show", alert_id("transfer"), "--config", config, "--format", "json").stdout)["message"]


class Reader:
    """Stands for Kafka, of which retention has taken the first record."""

    def __init__(self, connection: object) -> None:
        pass

    def line(self, topic: str, partition: int, offset: int, line: int) -> bytes | None:
        return b'{"message": "\x9b31m", "place": "%s/%d"}' % (topic.encode(), offset) if offset else None

    def close(self) -> None:
        pass


@pytest.fixture
def evidence(config: Path, monkeypatch: pytest.MonkeyPatch) -> list[Evidence]:
    monkeypatch.setattr("pipeline.cli.alert_evidence.EventReader", Reader)
    with config.open("a") as file:
        file.write("\nkafka: {bootstrap_servers: ['k:1'], username: operator, password_file: /nowhere}")
    found = ALERTS[1].jointsoc.evidence
    monkeypatch.setattr(found[0], "offset", 0)
    return found


def test_the_events_behind_an_alert_are_shown_and_those_that_are_gone_are_told(
    config: Path, evidence: list[Evidence]
) -> None:
    result = run("show", alert_id("transfer"), "--evidence", "--config", config, columns=200)
    assert "(not in Kafka any more)" in result.stdout
    assert f'"place": "{evidence[1].topic}/{evidence[1].offset}"' in result.stdout
    assert "\x9b" not in result.stdout
    assert f"1 of {len(evidence)} events are not in Kafka any more" in result.stderr


def test_the_events_behind_an_alert_are_lines_of_json(config: Path, evidence: list[Evidence]) -> None:
    result = run("show", alert_id("transfer"), "--evidence", "--format", "json", "--config", config)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Evidence(**line["evidence"]) for line in lines] == evidence
    assert lines[0]["event"] is None
    assert "place" in lines[1]["event"]


def test_evidence_needs_to_know_where_kafka_is(config: Path) -> None:
    error = run("show", alert_id("transfer"), "--evidence", "--config", config).exception
    assert isinstance(error, ConfigError)
    assert "expected a section `kafka:`" in str(error)


def test_an_unknown_id_is_one_clear_line(config: Path) -> None:
    error = run("show", "nonsense", "--config", config).exception
    assert isinstance(error, ConfigError)
    assert "no such alert; got nonsense. Try: jsoc alerts list" in str(error)


def test_without_a_stack_the_person_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSOC_HOME", str(tmp_path))
    error = run("list").exception
    assert isinstance(error, ConfigError)
    assert "jsoc up" in str(error)


def test_hostile_text_reaches_the_terminal_harmless(config: Path) -> None:
    nasty = "\x1b]0;owned\x07[red]x[/red][link=http://evil]\u202e\r\n"
    hostile = make_alert("hostile", message=nasty, rule=nasty, group_by={nasty: nasty}, detections=(nasty,))
    for member in hostile.jointsoc.members:
        member.id = nasty
    Index.found = [hostile]
    for arguments in (["list"], ["show", hostile.id]):
        output = run(*arguments, "--config", config, columns=400).stdout
        assert "\x1b" not in output
        assert "\x07" not in output
        assert "\u202e" not in output
        assert "[red]x[/red]" in output, "markup is text"
