from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.detect.placeholders import load_placeholders
from schemas.errors import ConfigError, RuleError
from tests.pipeline.detect.samples import selection, verdict

VALUES = {"admins": ["root", "adm-*"], "host": ["srv"], "site": ["a", "b"], "net": ["10.0.0.0/8"], "self": ["f"]}


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        ("f|expand: '%admins%'", "root", True),
        ("f|expand: '%admins%'", "ADM-bob", True),
        ("f|expand: '%admins%'", "alice", False),
        ("f|expand: 'x-%site%-%admins%'", "x-b-root", True),
        ("f|expand: 'x-%site%-%admins%'", "x-c-root", False),
        ("f|contains|expand: '%host%'", "my-srv-1", True),
        ("f|expand|contains: '%host%'", "my-srv-1", True),
        ("f|contains|all|expand: ['%site%', x]", "xb", True),
        ("f|contains|all|expand: ['%site%', x]", "b", False),
        ("f|re|expand: '^%host%[0-9]$'", "srv7", True),
        ("f|re|expand: '^%host%[0-9]$'", "srv77", False),
        ("f|expand|windash|contains: ' -%site%'", "x /b", True),
        ("f|expand|base64: '%host%'", "c3J2", True),
        ("f|expand|cidr: '%net%'", "10.1.1.1", True),
        ("f|expand|cidr: '%net%'", "11.1.1.1", False),
        ("f|expand|fieldref: '%self%'", "x", True),
        (r"f|expand: '\%host\%'", "%host%", True),
        ("f|expand: plain", "plain", True),
        ("f: '%host%'", "%host%", True),
    ],
)
def test_expand_puts_in_the_values_of_a_site(body: str, value: str, expected: bool) -> None:
    assert verdict(selection(body, VALUES), {"f": value}) is expected


NETWORKS = {"ours|cidr": ["192.0.2.0/28", "2001:db8::/64"]}


@pytest.mark.parametrize(("address", "expected"), [("192.0.2.15", True), ("192.0.2.16", False), ("2001:db8::1", True)])
def test_a_list_of_networks_stands_for_the_addresses_in_them(address: str, expected: bool) -> None:
    assert verdict(selection("f|expand: '%ours%'", NETWORKS), {"f": address}) is expected


@pytest.mark.parametrize("body", ["f|expand: 'x%ours%'", "f|re|expand: '%ours%x'"])
def test_a_list_of_networks_stands_alone(body: str) -> None:
    with pytest.raises(RuleError, match=r"sample\.yml:6: %ours% is a list of networks and stands alone"):
        selection(body, NETWORKS)


def test_a_modifier_of_texts_takes_no_list_of_networks() -> None:
    with pytest.raises(RuleError, match=r"sample\.yml:6: `contains` does not take such a value"):
        selection("f|expand|contains: '%ours%'", NETWORKS)


def test_a_placeholder_without_values_is_refused_by_name_and_line() -> None:
    with pytest.raises(RuleError, match=r"sample\.yml:6: placeholder %vips% has no values") as caught:
        selection("f|expand: '%vips%'", VALUES)
    assert "--placeholders" in str(caught.value)


@pytest.mark.parametrize("chain", ["base64", "wide|base64offset|contains", "utf16le"])
def test_a_placeholder_that_is_encoded_away_is_refused(chain: str) -> None:
    with pytest.raises(RuleError, match="expand must stand before"):
        selection(f"f|{chain}|expand: '%host%'", VALUES)


def test_two_hundred_values_and_more_are_fine_but_not_their_unbounded_product() -> None:
    many = {"n": [str(number) for number in range(1_000)]}
    assert verdict(selection("f|expand: 'a%n%'", many), {"f": "a999"})
    with pytest.raises(RuleError, match="too many combinations"):
        selection("f|expand: '%n%-%n%'", many)


def test_a_placeholder_file_holds_names_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "values.yml"
    path.write_text("admins: [root, 7]\nhost: srv\n")
    assert load_placeholders(path) == {"admins": ("root", "7"), "host": ("srv",)}


@pytest.mark.parametrize(
    "text", ["- a\n", "a: {b: c}\n", "a: []\n", "a: [{}]\n", "a: [\n", "5: [a]\n", "a|cidr: [x]\n"]
)
def test_what_is_no_placeholder_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "values.yml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_placeholders(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_placeholders(tmp_path / "missing.yml")
