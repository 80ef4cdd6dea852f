from __future__ import annotations

import doctest
from typing import Any

import pytest
from pydantic import BaseModel

from schemas import index_template as module
from schemas.alert import Alert, SharePolicy
from schemas.errors import EventError
from schemas.index_template import index_of, index_template
from tests.alert_samples import alert_id, make_alert


def mapped_fields(properties: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {}
    for name, mapping in properties.items():
        if "properties" in mapping:
            fields |= mapped_fields(mapping["properties"], f"{prefix}{name}.")
        else:
            fields[prefix + name] = mapping
    return fields


MAPPINGS = index_template()["template"]["mappings"]
FIELDS = mapped_fields(MAPPINGS["properties"])


@pytest.mark.parametrize("index", ["alerts-centre-2026.11"])
def test_the_month_in_the_id_names_the_index(index: str) -> None:
    assert index_of(alert_id("any", "202611")) == index


def test_every_revision_of_one_alert_goes_to_one_index_even_when_its_times_move_to_another_month() -> None:
    november = make_alert("x", start=1_795_996_740_000)  # 2026-11-29
    december = make_alert("x", start=1_796_169_600_000)  # 2026-12-02
    assert november.timestamp[:7] != december.timestamp[:7]
    assert index_of(november.id) == index_of(december.id)


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "0" * 24,
        "202613-" + "0" * 24,
        "202600-" + "0" * 24,
        "202611-" + "G" * 24,
        "202611-" + "0" * 23,
        "202611-" + "0" * 24 + "\n",
        "../202611-" + "0" * 24,
    ],
)
def test_an_id_without_a_month_is_refused_by_name(identity: str) -> None:
    with pytest.raises(EventError, match=r"event\.id: names no index"):
        index_of(identity)


def test_every_field_of_the_alert_model_is_mapped_and_nothing_else() -> None:
    alert = make_alert(superseded_by=alert_id("y"))
    alert.jointsoc.share = SharePolicy(k=3, tlp="green")
    document = alert.model_dump(by_alias=True, exclude_none=True)

    def leaves(value: Any, prefix: str) -> set[str]:
        if prefix in FIELDS:
            return {prefix}
        if isinstance(value, list):
            return {leaf for item in value for leaf in leaves(item, prefix)}
        assert isinstance(value, dict), f"{prefix} is not mapped"
        return {leaf for key, item in value.items() for leaf in leaves(item, f"{prefix}.{key}".lstrip("."))}

    assert leaves(document, "") == set(FIELDS)


def test_times_are_dates_and_the_revision_can_hold_a_tombstone() -> None:
    times = ["@timestamp", "event.start", "event.end", "event.created"]
    assert all(FIELDS[name]["type"] == "date" for name in times)
    assert FIELDS["jointsoc.alert.revision"]["type"] == "long"
    assert FIELDS["message"]["type"] == "text"


def test_unknown_fields_never_grow_the_mapping() -> None:
    assert MAPPINGS["dynamic"] is False
    assert FIELDS["jointsoc.group_by"]["type"] == "flattened"


def test_a_field_type_without_a_mapping_fails_loudly() -> None:
    class Strange(BaseModel):
        size: complex

    with pytest.raises(TypeError, match="size: no Elasticsearch type"):
        module._properties(Strange, "")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(module).failed == 0


def test_the_template_is_made_from_the_model() -> None:
    assert set(MAPPINGS["properties"]) == {field.alias or name for name, field in Alert.model_fields.items()}
