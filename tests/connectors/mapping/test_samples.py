from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest

from connectors.mapping.library import find_mapping, shipped_names
from connectors.mapping.samples import sample_faults
from schemas.event import flatten
from schemas.logsource import derive_logsource
from tests.connectors.mapping.mapping_files import SMALL, mapping_file


@pytest.mark.parametrize("name", shipped_names())
def test_every_sample_of_a_shipped_mapping_comes_out_as_it_says(name: str) -> None:
    assert [str(fault) for fault in sample_faults(find_mapping(name))] == []


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_mapping_shows_an_event_and_a_dead_letter(name: str) -> None:
    samples = find_mapping(name).document.samples
    assert any(sample.event for sample in samples)
    assert any(sample.dead for sample in samples)


@pytest.mark.parametrize("name", shipped_names())
def test_the_centre_knows_the_log_source_of_every_shipped_event(name: str) -> None:
    for sample in find_mapping(name).document.samples:
        if sample.event:
            fields = flatten(dict(sample.event))
            derive_logsource(fields)
            assert any(key.startswith("jointsoc.logsource.") for key in fields), sample.line


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("event.action: x}", "event.action: y}", "event.action is 'x'; it should be 'y'"),
        (", event.action: x}", "}", "event.action leaves, and the sample does not list it"),
        ("event.action: x}", "event.action: x, event.kind: event}", "event.kind is missing"),
        ("event.action: x}", "event.action: [x]}", "event.action is 'x'"),
        ("event: {'@timestamp': '2026-11-23T02:00:00.000Z', event.action: x}", "drop: noise", "becomes an event"),
        ("event: {'@timestamp': '2026-11-23T02:00:00.000Z', event.action: x}", "dead: no-rule", "becomes an event"),
        ('"what":"x"', '"what":{}', "a dead letter"),
    ],
)
def test_a_sample_that_does_not_hold_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    (fault,) = sample_faults(mapping_file(tmp_path, SMALL.replace(old, new)))
    assert str(fault).startswith(f"{tmp_path / 'mapping.yml'}:")
    assert told in str(fault)


def test_the_example_in_the_documentation_is_a_sound_mapping(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "forwarder.md").read_text(encoding="utf-8")
    lines = text[text.index("    name: door-control") :].splitlines(keepends=True)
    example = "".join(takewhile(lambda line: line.startswith("    ") or not line.strip(), lines))
    assert [str(fault) for fault in sample_faults(mapping_file(tmp_path, example))] == []
