from __future__ import annotations

from pathlib import Path

import pytest

from connectors.mapping.compiled import Surroundings
from connectors.mapping.library import find_mapping, shipped_names
from connectors.pseudonyms import Pseudonyms
from schemas.errors import ConfigError
from tests.connectors.mapping.mapping_files import KEYS, SMALL, mapping_file


def test_a_mapping_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    assert find_mapping("nginx-access").document.name == "nginx-access"
    path = mapping_file(tmp_path, SMALL).path
    assert find_mapping(str(path)).document.name == "small"


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"nginx-acces: no such mapping.*nginx-access"):
        find_mapping("nginx-acces")


def test_shipped_mappings_are_named_as_their_files() -> None:
    assert all(find_mapping(name).document.name == name for name in shipped_names())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("map: {event.action: what}", "map: {event.action: {from: what, as: lowercase}}", "no such conversion"),
        ("map: {event.action: what}", "map: {Event Action: what}", "should match pattern"),
        ("map: {event.action: what}", "map: {event.id: what}", "not for a mapping to set"),
        ("map: {event.action: what}", "map: {related.ip: what}", "not for a mapping to set"),
        ("map: {event.action: what}", "map: {event.action: what}\n        set: {event.action: x}", "set in two ways"),
        ("map: {event.action: what}", "map: {event.action: what}\n        drop: noise", "either drops or sets"),
        ("map: {event.action: what}", "hmac: {user.hash: {from: u, key: mine, kind: user}}", "'federation'"),
        ("parse: {kind: json}", "parse: {kind: xml}", "does not match any of the expected tags"),
        ("version: 1", "version: 1\n    versions: 2", "Extra inputs"),
        ("name: all", "name: all\n        match: {what: {regexp: x}}", "match"),
        ("event: {'@timestamp'", "drop: x\n        event: {'@timestamp'", "one of event, drop and dead"),
    ],
)
def test_a_mistake_in_a_mapping_is_told_with_file_and_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping_file(tmp_path, SMALL.replace(old, new, 1)).compile(Surroundings(KEYS))
    message = str(caught.value)
    assert told in message
    line = int(message.removeprefix(f"{tmp_path / 'mapping.yml'}:").split(":", 1)[0])
    assert line > 1


def test_a_pattern_that_is_none_is_told_at_its_line(tmp_path: Path) -> None:
    text = SMALL.replace("name: all", "name: all\n        match:\n          what: {regex: '(?<=a)b'}")
    with pytest.raises(ConfigError, match=r"mapping\.yml:10: rules\.0\.match\.what\.regex: .*look-around"):
        mapping_file(tmp_path, text).compile(Surroundings(KEYS))


def test_a_field_that_the_pattern_does_not_have_is_told_with_those_it_has(tmp_path: Path) -> None:
    text = SMALL.replace("{kind: json}", "{kind: regex, pattern: '(?P<time>.)(?P<wath>.)'}")
    with pytest.raises(ConfigError, match=r"no group what; it has time, wath"):
        mapping_file(tmp_path, text).compile(Surroundings(KEYS))


def test_a_mapping_for_customers_wants_the_federation_key() -> None:
    with pytest.raises(ConfigError, match=r"customer-portal\.yml:\d+: hmac\.user\.hash: needs the federation key"):
        find_mapping("customer-portal").compile(Surroundings(Pseudonyms(bytes(32), None)))
