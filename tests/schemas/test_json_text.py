from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.json_text import read_json

texts = st.text(st.sampled_from('\ud83d\ude00\ud800\udfff\\ud8"\nax\U0001f600'), max_size=12)


@given(st.lists(texts) | st.dictionaries(texts, texts, max_size=1))
def test_half_a_surrogate_pair_is_read_as_the_replacement_character(value: object) -> None:
    text = json.dumps(value)
    assert json.dumps(read_json(text.encode()), ensure_ascii=False) == replaced(
        json.dumps(json.loads(text), ensure_ascii=False)
    )


def replaced(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize("text", [b'{"a": "\\ud800"', b'"\\ud800\\q"', b'["\\udc00", NaN]', b'"\\ud8"'])
def test_what_is_no_json_otherwise_is_refused(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        read_json(text)
