from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detect.regexes import CREDIT, MAX_CREDIT, MAX_PASS, RegexSet, compile_like, compile_regex
from schemas.errors import RuleError


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){12}c", "a*a*a*a*a*a*b"])
def test_patterns_that_hang_other_engines_are_quick_on_a_megabyte(pattern: str) -> None:
    search = compile_regex(pattern, "", "r.yml:1")
    begun = time.process_time()
    search("a" * 1_000_000 + "!")
    assert time.process_time() - begun < 2


def test_flags_are_letters() -> None:
    assert compile_regex("^B.C", "ims", "r.yml:1")("a\nb\nc")


def test_a_dollar_is_the_very_end() -> None:
    assert not compile_regex("a$", "", "r.yml:1")("a\n")
    assert compile_regex("a$", "m", "r.yml:1")("a\n")


def test_dot_is_a_character_not_a_byte() -> None:
    assert compile_regex("^.$", "", "r.yml:1")("日")


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "(?<!a)b", "a" * 10_000, "\ud800", "(?P>x)", "a{5000}"])
def test_what_is_outside_sigmas_subset_is_refused(pattern: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_regex(pattern, "", "r.yml:1")
    assert caught.value.where == "r.yml:1"


texts = st.text(st.sampled_from("ab*?\\[].\n"), max_size=8)


@given(pattern=texts, text=texts)
def test_wildcards_agree_with_a_translation_to_pythons_regular_expressions(pattern: str, text: str) -> None:
    translated, characters = "", iter(pattern)
    for char in characters:
        if char == "\\":
            translated += re.escape(next(characters, ""))
        else:
            translated += {"*": ".*", "?": "."}.get(char, re.escape(char))
    assert compile_like(pattern)(text) is bool(re.fullmatch(translated, text, re.DOTALL))


class Slow:
    """A clock by which every search takes this many seconds."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


PATTERNS = [("a+b", ""), ("^x", "i"), ("c.d", "s"), ("(?:ab|ba){2}", "")]
long_texts = st.text(st.sampled_from("abcdX\n"), max_size=40).flatmap(
    lambda text: st.sampled_from([text, text + "z" * MAX_PASS, "z" * MAX_PASS + text])
)


@given(found=st.lists(long_texts, max_size=5), seconds=st.sampled_from([0.0, MAX_CREDIT / 2, 10 * MAX_CREDIT]))
def test_a_set_finds_what_its_expressions_find_however_long_it_takes(found: list[str], seconds: float) -> None:
    together = RegexSet(PATTERNS, Slow(seconds))
    singles = [compile_regex(pattern, flags, "r.yml:1") for pattern, flags in PATTERNS]
    for text in found:
        assert set(together.found_in(text)) == {number for number, search in enumerate(singles) if search(text)}


def test_texts_that_use_up_the_sets_time_are_searched_otherwise_until_there_is_time_again() -> None:
    clock = Slow(2 * MAX_CREDIT)
    together = RegexSet(PATTERNS, clock)

    def passes(count: int) -> int:
        before = clock.now
        for _ in range(count):
            together.found_in("z" * MAX_PASS)
        return round((clock.now - before) / clock.seconds) // 2

    assert passes(1) == 1
    assert passes(1_000) == 0
    owed = int(MAX_CREDIT / CREDIT)
    assert passes(2 * owed) == 1, "one for each stretch that pays for it"


def test_waits_for_a_busy_processor_use_up_no_time() -> None:
    clock = Slow(2 * MAX_CREDIT)
    together = RegexSet(PATTERNS, clock)
    for _ in range(100):
        together.found_in("a")
    assert clock.now == pytest.approx(100 * 2 * clock.seconds)


def test_a_long_text_never_goes_through_the_set() -> None:
    clock = Slow(1.0)
    assert RegexSet(PATTERNS, clock).found_in("z" * MAX_PASS + "aab") == [0]
    assert clock.now == 0.0
