"""The member x time matrix: nothing is lost by joining columns, and the order does not matter."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.correlate.matrix import MOST_KEPT, MOST_TOLD, Matrix, matrix_of

HITS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40 * 86_400_000)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(hits=HITS, cut=st.integers(1, 39))
def test_portions_in_any_order_tell_the_same_as_all_at_once(hits: list[tuple[str, int]], cut: int) -> None:
    hits.sort(key=lambda hit: hit[1])
    first, last = hits[0][1], hits[-1][1]
    whole, parts = matrix_of(hits), Matrix()
    for portion in (hits[cut:], hits[:cut:2], hits[1:cut:2]):
        if portion:
            parts.merge(matrix_of(portion))
    assert parts.told(first, last) == whole.told(first, last)
    step, rows = whole.told(first, last)
    assert {member: sum(row) for member, row in rows.items()} == {m: [h[0] for h in hits].count(m) for m in rows}
    assert all(len(row) == last // step - first // step + 1 <= MOST_TOLD for row in rows.values())
    assert all(len(row) <= MOST_KEPT for row in parts.rows.values())


def test_a_hit_stands_in_the_column_of_its_time() -> None:
    matrix = matrix_of([("a", 0), ("b", 61_000), ("a", 61_500), ("a", 240_000)])
    assert matrix.told(0, 240_000) == (15_000, {"a": [1, 0, 0, 0, 1] + [0] * 11 + [1], "b": [0] * 4 + [1] + [0] * 12})
