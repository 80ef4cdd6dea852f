from __future__ import annotations

from pipeline.correlate.clock import NEVER, SettleClock

HOUR = 3_600_000


def test_nothing_is_final_before_the_first_tick() -> None:
    clock = SettleClock()
    clock.see({"events.ash/0": 10 * HOUR})
    assert clock.settle_line(HOUR) == NEVER


def test_the_slowest_partition_decides() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 2, "events.birch": 1}, 5 * HOUR)
    clock.see({"events.ash/0": 9 * HOUR, "events.ash/1": 8 * HOUR, "events.birch/0": 10 * HOUR})
    assert clock.settle_line(HOUR) == 7 * HOUR


def test_a_partition_that_was_named_but_not_read_holds_the_line_at_its_first_tick() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 1, "events.birch": 1}, 5 * HOUR)
    clock.roster({"events.ash": 1, "events.birch": 1}, 6 * HOUR)
    clock.see({"events.ash/0": 90 * HOUR})
    assert clock.settle_line(HOUR) == 4 * HOUR
    clock.see({"events.birch/0": 20 * HOUR})
    assert clock.settle_line(HOUR) == 19 * HOUR


def test_ticks_may_arrive_in_any_order() -> None:
    rosters = [({"events.ash": 1}, 5 * HOUR), ({"events.ash": 1, "events.birch": 1}, 7 * HOUR)]
    lines = set()
    for order in (rosters, rosters[::-1]):
        clock = SettleClock()
        for partitions, seen_at in order:
            clock.roster(partitions, seen_at)
        clock.see({"events.ash/0": 50 * HOUR})
        lines.add(clock.settle_line(0))
    assert lines == {7 * HOUR}


def test_a_partition_read_before_any_tick_named_it_is_waited_for() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 1}, HOUR)
    clock.see({"events.ash/0": 9 * HOUR, "events.new/0": 3 * HOUR})
    assert clock.settle_line(0) == 3 * HOUR


def test_a_member_that_left_is_not_waited_for() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 1, "events.gone": 1}, HOUR)
    clock.see({"events.ash/0": 9 * HOUR, "events.gone/0": 2 * HOUR})
    clock.roster({"events.ash": 1}, 9 * HOUR)
    assert clock.settle_line(0) == 9 * HOUR


def test_an_older_append_time_read_again_changes_nothing() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 1}, HOUR)
    clock.see({"events.ash/0": 9 * HOUR})
    clock.see({"events.ash/0": 2 * HOUR})
    assert clock.settle_line(0) == 9 * HOUR


def test_a_clock_goes_on_from_its_bytes() -> None:
    clock = SettleClock()
    clock.roster({"events.ash": 1, "events.birch": 1}, 5 * HOUR)
    clock.see({"events.ash/0": 9 * HOUR})
    restored = SettleClock.from_bytes(clock.to_bytes())
    assert restored.settle_line(HOUR) == clock.settle_line(HOUR)
    restored.see({"events.birch/0": 8 * HOUR})
    assert restored.settle_line(HOUR) == 7 * HOUR
