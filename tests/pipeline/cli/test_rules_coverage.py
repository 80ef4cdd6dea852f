from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main

RULE = """\
title: {title}
id: 0000000{number}-0000-4000-8000-000000000000
logsource: {{product: windows, category: process_creation}}
detection:
  sel: {{{field}|contains: x}}
  not_us: {{User: backup}}
  condition: sel and not not_us
"""
SYSMON = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Image": "C:\\x.exe"}
MEMBERS = """\
members:
  - {id: kestrel-bank, name: Kestrel, datasets: [windows.sysmon, nginx.access]}
  - {id: heron-bank, name: Heron, datasets: [nginx.access]}
"""


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["rules", "coverage", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for number, (title, field) in enumerate([("By image", "Image"), ("By parent", "ParentImage")]):
        (folder / f"{number}.yml").write_text(RULE.format(number=number, title=title, field=field))
    return folder


def sample(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_each_data_set_and_member_is_told_what_can_fire(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = tmp_path / "members.yml"
    members.write_text(MEMBERS)
    events = sample(tmp_path, SYSMON, {"event.dataset": "nginx.access", "url.path": "/"})
    assert run(rules, "--events", events, "--members", members, "--format", "json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    nginx, windows = found["datasets"]
    assert (nginx["id"], nginx["rules"]) == ("nginx.access", [])
    assert windows["fields"] == ["Channel", "EventID", "Image"]
    assert [(rule["title"], rule["verdict"], rule["missing"], rule["needed"]) for rule in windows["rules"]] == [
        ("By image", "partial", ["User"], []),
        ("By parent", "never", ["ParentImage", "User"], ["ParentImage"]),
    ]
    assert windows["counts"] == {"full": 0, "partial": 1, "always": 0, "never": 1}
    assert [(member["id"], member["counts"]["partial"]) for member in found["members"]] == [
        ("kestrel-bank", 1),
        ("heron-bank", 0),
    ]


def test_the_table_names_the_fields_that_most_rules_need(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(rules, "--events", sample(tmp_path, SYSMON)) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("windows.sysmon", "2", "0", "1", "0", "1"),
        *("ParentImage", "(1)"),
    ]


def test_ecs_events_are_judged_by_ecs_names(rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = {
        "ecs.version": "8.17.0",
        "event.dataset": "windows.sysmon",
        "event.code": "1",
        "process.executable": "x",
        "user.name": "x",
    }
    events = sample(tmp_path, event)
    for taxonomy in ("ecs", "both"):
        assert run(rules, "--events", events, "--taxonomy", taxonomy, "--format", "json") == 0
        [dataset] = json.loads(capsys.readouterr().out)["datasets"]
        assert [(rule["verdict"], rule["needed"]) for rule in dataset["rules"]] == [
            ("full", []),
            ("never", ["process.parent.executable"]),
        ]


def test_what_the_sample_does_not_show_is_told(rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = tmp_path / "members.yml"
    members.write_text(MEMBERS)
    events = sample(tmp_path, {"event.dataset": "nginx.access"}, "not an event")
    assert run(rules, "--events", events, "--members", members) == 0
    told = capsys.readouterr().err
    assert "kestrel-bank: the sample has no event of windows.sysmon" in told
    assert "1 records cannot be read" in told


def test_a_sample_without_events_is_refused(rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(rules, "--events", sample(tmp_path)) == 3
    assert "no event to learn fields from" in capsys.readouterr().err


CORRELATIONS = """\
title: Seen at many
id: 00000008-0000-4000-8000-000000000000
tags: [attack.discovery, attack.t1057]
correlation: {type: event_count, rules: [by_image], group-by: [source.ip], timespan: 1h, condition: {gte: 2}}
federation: {min_organizations: MANY}
---
title: First one, then the other
id: 00000009-0000-4000-8000-000000000000
tags: [attack.t1059.001]
correlation: {type: temporal_ordered, rules: [by_image, by_parent], group-by: [organization.id], timespan: 1h}
"""
FLEDGLING = "  - {id: merlin-bank, name: Merlin, group: MERLIN, datasets: [windows.sysmon]}\n"


@pytest.mark.parametrize(("many", "group", "fires"), [(2, "merlin", True), (2, "kestrel-bank", False), (3, "m", False)])
def test_a_correlation_can_fire_where_enough_groups_can_feed_it(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], many: int, group: str, fires: bool
) -> None:
    for number, name in enumerate(["by_image", "by_parent"]):
        path = rules / f"{number}.yml"
        path.write_text(path.read_text() + f"name: {name}\n")
    (rules / "many.yml").write_text(CORRELATIONS.replace("MANY", str(many)))
    members = tmp_path / "members.yml"
    members.write_text(MEMBERS + FLEDGLING.replace("MERLIN", group))
    assert run(rules, "--events", sample(tmp_path, SYSMON), "--members", members, "--format", "json") == 0
    counted, ordered = json.loads(capsys.readouterr().out)["correlations"]
    assert (counted["fires"], len(counted["groups"])) == (fires, 1 if group == "kestrel-bank" else 2)
    assert (ordered["fires"], ordered["silent"]) == (False, ["By parent"])
    assert run(rules, "--events", sample(tmp_path, SYSMON), "--members", members) == 0
    table = capsys.readouterr().out
    assert "can fire nowhere: By parent" in table


def test_a_navigator_layer_scores_each_technique_by_the_rules_that_can_fire(rules: Path, tmp_path: Path) -> None:
    for number, tags in enumerate(["[attack.t1057, attack.discovery]", "[attack.t1057, attack.t1110.004]"]):
        path = rules / f"{number}.yml"
        path.write_text(path.read_text() + f"tags: {tags}\n")
    layer = tmp_path / "layer.json"
    assert run(rules, "--events", sample(tmp_path, SYSMON), "--navigator", layer) == 0
    drawn = json.loads(layer.read_text())
    assert drawn["versions"] == {"attack": "19", "navigator": "5.1.0", "layer": "4.5"}
    assert drawn["domain"] == "enterprise-attack"
    assert [(one["techniqueID"], one["score"]) for one in drawn["techniques"]] == [("T1057", 1), ("T1110.004", 0)]
    assert drawn["techniques"][1]["comment"] == "By parent: needs ParentImage"
    assert drawn["gradient"]["maxValue"] == 1
    assert run(rules, "--events", sample(tmp_path, SYSMON), "--navigator", tmp_path / "no" / "layer.json") == 3
