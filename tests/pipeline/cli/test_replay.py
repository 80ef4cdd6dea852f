from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.replay import replay
from schemas.errors import ConfigError
from schemas.times import to_rfc3339

RULES = """\
title: Login failed
id: 11111111-1111-4111-8111-111111111111
name: login_failed
logsource: {category: authentication}
detection: {selection: {event.outcome: failure}, condition: selection}
---
title: Web shell
id: 22222222-2222-4222-8222-222222222222
logsource: {category: authentication}
detection: {selection: {file.name: shell.php}, condition: selection}
federation: {alert: true}
---
title: Guessing
id: 33333333-3333-4333-8333-333333333333
correlation:
  type: event_count
  rules: login_failed
  group-by: source.ip
  timespan: 10m
  condition: {gte: 5}
federation: {min_organizations: 2}
---
title: Few
id: 44444444-4444-4444-8444-444444444444
correlation:
  type: event_count
  rules: login_failed
  group-by: source.ip
  timespan: 10m
  condition: {gte: 2, lte: 3}
"""
CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpora" / "sigmahq"
CASES = CORPUS / "regression_data"
NOON = 1_795_435_200_000


def _event(second: int, **fields: Any) -> dict[str, Any]:
    base = {"jointsoc.logsource.category": "authentication", "event.outcome": "failure", "source.ip": "203.0.113.7"}
    return {"@timestamp": to_rfc3339(NOON + second * 1000), "event.id": f"{second}", **base, **fields}


def _lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "ash.ndjson").write_bytes(_lines([_event(second) for second in range(0, 40, 10)]))
    (tmp_path / "birch.ndjson.gz").write_bytes(gzip.compress(_lines([_event(second) for second in (45, 55)])))
    return tmp_path


def _run(folder: Path, *arguments: str) -> Result:
    given = ["--rules", str(folder / "rules.yml"), *arguments]
    return CliRunner().invoke(replay, given, catch_exceptions=False, standalone_mode=False)


def _alerts(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _both(folder: Path) -> tuple[str, str]:
    return f"ash={folder / 'ash.ndjson'}", f"birch={folder / 'birch.ndjson.gz'}"


def test_files_of_several_members_give_settled_alerts_sorted_by_id(folder: Path) -> None:
    alerts = _alerts(_run(folder, *_both(folder)))
    assert [alert["event"]["id"] for alert in alerts] == sorted(alert["event"]["id"] for alert in alerts)
    assert {alert["rule"]["name"] for alert in alerts} == {"Guessing", "Few"}
    [guessing] = [alert for alert in alerts if alert["rule"]["name"] == "Guessing"]
    part = guessing["jointsoc"]
    assert [(member["id"], member["count"]) for member in part["members"]] == [("ash", 4), ("birch", 2)]
    assert (part["alert"]["state"], part["events"]) == ("settled", 6)
    assert guessing["message"] == "203.0.113.7: Guessing, 6 events at 2 institutions in 55 s"


def test_eager_shows_every_revision_as_it_would_have_been_published(folder: Path) -> None:
    alerts = _alerts(_run(folder, "--eager", *_both(folder)))
    states = [alert["jointsoc"]["alert"]["state"] for alert in alerts if alert["rule"]["name"] == "Guessing"]
    assert states == ["open", "settled"]


def test_what_settles_is_the_same_byte_for_byte_whether_open_alerts_are_told_or_not(folder: Path) -> None:
    random = Random(5)
    for member in ("ash", "birch"):
        events = [_event(at, **{"source.ip": f"192.0.2.{random.randrange(9)}"}) for at in range(0, 30_000, 29)]
        # Out of order by more than a batch, so that open alerts take over from each other.
        events.sort(key=lambda event: random.random() < 0.5)
        (folder / f"{member}.ndjson").write_bytes(_lines(events))
    given = [f"{member}={folder / f'{member}.ndjson'}" for member in ("ash", "birch")]
    every = _run(folder, "--eager", *given).stdout.splitlines()
    states = [json.loads(line)["jointsoc"]["alert"]["state"] for line in every]
    assert set(states) == {"open", "settled", "superseded"}
    settled = [line for line, state in zip(every, states, strict=True) if state == "settled"]
    assert _run(folder, *given).stdout.splitlines() == sorted(settled, key=lambda line: json.loads(line)["event"]["id"])


def test_the_order_of_lines_within_the_lateness_changes_nothing(folder: Path) -> None:
    events = [_event(second, **{"source.ip": f"192.0.2.{second % 3}"}) for second in range(0, 3_000, 7)]
    path = folder / "many.ndjson"
    path.write_bytes(_lines(events))
    wanted = _run(folder, f"ash={path}", f"birch={folder / 'birch.ndjson.gz'}").stdout
    for seed in range(3):
        Random(seed).shuffle(events)
        path.write_bytes(_lines(events))
        result = _run(folder, f"birch={folder / 'birch.ndjson.gz'}", f"ash={path}")
        assert _without_places(result.stdout) == _without_places(wanted)
    assert len(wanted.splitlines()) > 3


def _without_places(text: str) -> list[dict[str, Any]]:
    """Alerts without the line numbers of their evidence, which the shuffle did change."""
    alerts = [json.loads(line) for line in text.splitlines()]
    for alert in alerts:
        for item in alert["jointsoc"]["evidence"]:
            del item["offset"]
    return alerts


def test_events_older_than_the_lateness_are_matched_counted_and_not_correlated(folder: Path) -> None:
    path = folder / "late.ndjson"
    path.write_bytes(_lines([_event(second) for second in (7200, 0, 10, 20, 30, 40)]))
    result = _run(folder, "--lateness", "1h", f"ash={path}", f"birch={folder / 'birch.ndjson.gz'}")
    assert result.return_value == 1
    assert "5 too late" in result.stderr


def test_without_a_stated_lateness_no_line_of_a_file_is_too_late(folder: Path) -> None:
    path, other = folder / "ash.ndjson", f"birch={folder / 'birch.ndjson.gz'}"
    wanted = _run(folder, f"ash={path}", other)
    path.write_bytes(_lines([_event(second) for second in (500_000, 20, 0, 30, 10)]))
    result = _run(folder, f"ash={path}", other)
    assert result.return_value == 0
    assert _without_places(result.stdout) == _without_places(wanted.stdout)


def test_what_a_rule_could_not_count_is_told(folder: Path) -> None:
    path = folder / "keyless.ndjson"
    path.write_bytes(_lines([_event(second, **{"source.ip": "-"}) for second in range(3)]))
    result = _run(folder, f"ash={path}")
    told = "not counted by 33333333-3333-4333-8333-333333333333: 3 times missing_group_key of source.ip"
    assert told in result.stderr


def test_a_rule_that_settles_sooner_counts_every_line_too_unless_a_lateness_is_stated(folder: Path) -> None:
    rules = folder / "rules.yml"
    rules.write_text(RULES.replace("min_organizations: 2", "min_organizations: 2, settle_after: 5s"))
    path, other = folder / "ash.ndjson", f"birch={folder / 'birch.ndjson.gz'}"
    wanted = _members_of_guessing(_run(folder, f"ash={path}", other))
    path.write_bytes(_lines([_event(second) for second in (30, 0, 20, 10)]))
    assert _members_of_guessing(_run(folder, f"ash={path}", other)) == wanted
    strict = _run(folder, "--lateness", "1h", f"ash={path}", other)
    assert "Guessing" not in {alert["rule"]["name"] for alert in _alerts(strict)}
    assert "3 times late_for_rule of @timestamp" in strict.stderr


def test_a_member_whose_clock_is_known_to_be_wrong_is_put_right(folder: Path) -> None:
    members = folder / "members.yml"
    members.write_text("members: [{id: ash, name: Ash}, {id: birch, name: Birch, clock_offset: 28800000}]")
    wanted = _members_of_guessing(_run(folder, *_both(folder)))
    (folder / "birch.ndjson.gz").write_bytes(gzip.compress(_lines([_event(at - 28_800) for at in (45, 55)])))
    assert _members_of_guessing(_run(folder, "--members", str(members), *_both(folder))) == wanted


def _members_of_guessing(result: Result) -> list[dict[str, Any]]:
    [alert] = [alert for alert in _alerts(result) if alert["rule"]["name"] == "Guessing"]
    return [
        {key: member[key] for key in ("id", "first_seen", "last_seen", "count")}
        for member in alert["jointsoc"]["members"]
    ]


def test_a_file_without_a_member_takes_it_from_its_events(folder: Path) -> None:
    path = folder / "mixed.json"
    events = [_event(second, organization={"id": "ash" if second % 2 else "birch"}) for second in range(6)]
    path.write_text(json.dumps(events))
    [alert] = [alert for alert in _alerts(_run(folder, str(path))) if alert["rule"]["name"] == "Guessing"]
    assert alert["organization"]["id"] == ["birch", "ash"]
    with pytest.raises(ConfigError, match="does not say whose it is"):
        _run(folder, str(folder / "ash.ndjson"))


def test_a_registry_makes_members_of_one_group_count_once(folder: Path) -> None:
    registry = folder / "members.yml"
    registry.write_text(
        "members: [{id: ash, name: A, group: tree}, {id: birch, name: B, group: tree}, {id: cedar, name: C}]"
    )
    alerts = _alerts(_run(folder, "--members", str(registry), *_both(folder)))
    assert "Guessing" not in {alert["rule"]["name"] for alert in alerts}
    with pytest.raises(ConfigError, match="not an enabled member of the registry; expected ash, birch, cedar"):
        _run(folder, "--members", str(registry), f"oak={folder / 'ash.ndjson'}")


def test_a_detection_that_alerts_by_itself_is_there_too(folder: Path) -> None:
    path = folder / "shell.ndjson"
    path.write_bytes(_lines([_event(0, **{"file.name": "shell.php", "event.outcome": "success"})]))
    [alert] = _alerts(_run(folder, f"ash={path}"))
    assert (alert["rule"]["name"], alert["message"]) == ("Web shell", "Web shell at ash")


def test_lines_that_are_no_events_are_told_and_the_rest_goes_on(folder: Path) -> None:
    path = folder / "ash.ndjson"
    path.write_bytes(b"{broken\n\xff\xfe\n[]\n{}\n" + path.read_bytes())
    result = _run(folder, *_both(folder))
    assert result.return_value == 1
    assert "events.ash: line 1: not-json" in result.stderr
    assert "4 refused" in result.stderr
    assert len(_alerts(result)) == 2


@pytest.mark.parametrize("arguments", [["--lateness", "soon", "ash=x"], ["ash=missing.ndjson"], ["missing.ndjson"]])
def test_wrong_arguments_are_told_in_one_line(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        _run(folder, *arguments)


def test_no_events_are_no_alerts(folder: Path) -> None:
    (folder / "empty.ndjson").touch()
    result = _run(folder, f"ash={folder / 'empty.ndjson'}")
    assert (result.stdout, result.return_value) == ("", 0)


def test_a_json_file_is_read_like_lines(folder: Path) -> None:
    (folder / "ash.json").write_text(json.dumps([_event(second) for second in range(0, 40, 10)]))
    _, birch = _both(folder)
    assert _alerts(_run(folder, f"ash={folder / 'ash.json'}", birch)) == _alerts(_run(folder, *_both(folder)))


@pytest.mark.skipif(not CASES.exists(), reason="the SigmaHQ corpus is not here")
def test_an_evtx_file_gives_the_alerts_of_the_same_events_as_json(folder: Path) -> None:
    pytest.importorskip("evtx", reason="the evtx package is not installed")
    recorded = min(CASES.glob("**/file_event_win_creation_system_dll_files/*.evtx"))
    [rule] = (CORPUS / "rules").glob("**/file_event_win_creation_system_dll_files.yml")
    correlation = {"type": "event_count", "rules": [recorded.stem], "timespan": "1h", "condition": {"gte": 1}}
    counted = {"title": "Any such", "id": "55555555-5555-4555-8555-555555555555", "correlation": correlation}
    (folder / "rules.yml").write_text(f"{rule.read_text()}\n---\n{json.dumps(counted)}")
    alerts = [_alerts(_run(folder, f"ash={recorded.with_suffix(suffix)}")) for suffix in (".evtx", ".json")]
    seen = [[(one["rule"]["name"], one["@timestamp"], one["jointsoc"]["events"]) for one in each] for each in alerts]
    assert seen[0] == seen[1] == [("Any such", "2025-10-24T23:41:00.601Z", 1)]
