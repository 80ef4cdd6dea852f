from __future__ import annotations

import pytest
import re2  # type: ignore[import-untyped]

from connectors.mapping import patterns
from connectors.mapping.patterns import Pattern, public_spans, quick_spans

EXPRESSION = r"(?P<key>\w+)=(?:(?P<number>\d+)|(?P<text>\pL+)|(-))"
LINES = ["key=12", "  key=Zoë", "schlüssel=資料 rest", "a=-", "", "no match", "\x00k=1\x00"]


@pytest.mark.parametrize("line", LINES)
def test_the_quick_way_to_the_groups_says_what_re2_says(line: str) -> None:
    compiled, raw = re2.compile(EXPRESSION.encode()), line.encode()
    quick = quick_spans(compiled)
    assert quick is not None, "this release of re2 has them elsewhere: the forwarder is slower with it, see decision 52"
    for fast, public in zip(quick, public_spans(compiled), strict=True):
        assert fast(raw)[: len(public(raw))] == public(raw)


@pytest.mark.parametrize("line", LINES)
def test_another_release_of_re2_gives_the_same_groups(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Pattern(EXPRESSION)
    monkeypatch.setattr(patterns, "quick_spans", lambda _: None)
    public = Pattern(EXPRESSION)
    assert usual.search(line) == public.search(line)
    assert usual.match(line.encode()) == public.match(line.encode())


def test_where_the_quick_way_is_not_there_it_is_not_guessed() -> None:
    class Renamed:
        pass

    class Changed:
        class _regexp:  # noqa: N801 - re2's name
            @staticmethod
            def Match(text: bytes) -> None:
                raise AssertionError(text)

    assert quick_spans(Renamed()) is None
    assert quick_spans(Changed()) is None
