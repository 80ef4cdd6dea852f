from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detect.regexes import compile_like, compile_regex
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
