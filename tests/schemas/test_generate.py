from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from schemas.dead_letter import DeadLetter
from schemas.generate import event_schema, generated_files, main, stale_files, write_files
from tests.alert_samples import make_alert


def test_the_generated_files_in_the_tree_are_up_to_date() -> None:
    assert stale_files() == [], "run: python -m schemas.generate"


def test_writing_mends_changed_missing_and_foreign_files_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "alert.schema.json").write_text("{}")
    (tmp_path / "health.schema.json").unlink()
    (tmp_path / "foreign.json").write_text("{}")
    assert write_files(tmp_path) == ["alert.schema.json", "foreign.json", "health.schema.json"]
    assert write_files(tmp_path) == []
    assert not (tmp_path / "foreign.json").exists()


def test_check_exits_with_1_and_names_the_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("schemas.generate.stale_files", lambda: ["alert.schema.json"])
    assert main(["--check"]) == 1
    assert "schemas/generated/alert.schema.json" in capsys.readouterr().err


def test_an_alert_and_a_dead_letter_satisfy_their_generated_schemas() -> None:
    files = generated_files()
    jsonschema.validate(json.loads(make_alert().to_json()), json.loads(files["alert.schema.json"]))
    letter = DeadLetter(timestamp="x", reason="not-json", topic="t", partition=0, offset=1, raw="")
    jsonschema.validate(json.loads(letter.to_json()), json.loads(files["dead_letter.schema.json"]))


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ({"@timestamp": "2026-11-23T10:00:00Z", "event.id": "a", "any": {"thing": [1]}}, True),
        ({"@timestamp": "2026-11-23T10:00:00Z", "event": {"id": "a", "dataset": ["x"]}}, True),
        ({"event": {"id": "a"}}, False),
        ({"@timestamp": 5}, False),
        ([], False),
    ],
)
def test_the_event_schema_accepts_what_the_centre_accepts(line: object, fits: bool) -> None:
    assert jsonschema.Draft202012Validator(event_schema()).is_valid(line) is fits
