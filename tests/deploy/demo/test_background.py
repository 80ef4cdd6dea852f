from __future__ import annotations

from collections import Counter
from itertools import islice, takewhile

from deploy.demo.background import NOISE_ADDRESSES, background
from deploy.demo.institutions import LOGS, Line, load_institutions
from deploy.demo.story import ATTACKER_ADDRESSES

INSTITUTIONS = load_institutions()
NOON = 1_795_435_200_000


def some(seed: int, *, rate: float = 20.0, minutes: int = 5) -> list[Line]:
    lines = background(INSTITUTIONS, seed=seed, start=NOON, rate=rate)
    return list(takewhile(lambda line: line.at < NOON + minutes * 60_000, lines))


def test_the_same_seed_writes_the_same_lines() -> None:
    assert some(3) == some(3)
    assert some(3) != some(4)


def test_lines_come_in_order_of_time() -> None:
    moments = [line.at for line in some(1)]
    assert moments == sorted(moments)


def test_the_rate_is_about_what_was_asked_for() -> None:
    for rate in (5.0, 50.0):
        assert 0.8 < len(some(1, rate=rate, minutes=10)) / 600 / rate < 1.2


def test_every_institution_writes_every_log() -> None:
    written = Counter((line.member, line.log) for line in some(1, minutes=60))
    assert set(written) == {(institution.id, log) for institution in INSTITUTIONS for log in LOGS}


def test_background_and_attackers_have_different_addresses() -> None:
    assert not set(NOISE_ADDRESSES) & set(ATTACKER_ADDRESSES)
    text = "\n".join(line.text for line in some(1, minutes=30))
    assert not any(f"{block}." in text for block in ("198.51.100", "203.0.113"))


def test_a_high_rate_costs_no_memory_for_people() -> None:
    lines = background(INSTITUTIONS, seed=1, start=NOON, rate=2_000)
    assert len(list(islice(lines, 2_000))) == 2_000
