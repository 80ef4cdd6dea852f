from __future__ import annotations

from itertools import combinations

import pytest

from deploy.demo.institutions import load_institutions
from deploy.demo.story import ATTACKER_ADDRESSES, FEDERATION_SCANNER, cast_of, load_stories, stage
from deploy.local.settings import project_root
from pipeline.detect.load import load_documents

RULES = project_root() / "rules" / "sigma"
INSTITUTIONS = load_institutions()


def test_there_are_six_institutions_in_five_corporate_groups() -> None:
    assert len(INSTITUTIONS) == 6
    assert len({institution.member.group or institution.id for institution in INSTITUTIONS}) == 5
    assert {institution.member.kind for institution in INSTITUTIONS} == {"bank", "securities", "insurer"}


def test_expected_alerts_name_rules_that_exist_and_their_levels() -> None:
    rules = {document.data["name"]: document.data for document in load_documents([RULES / "correlations"])}
    for story in load_stories():
        for alert in story.expected:
            assert rules[alert.rule]["level"] == alert.level
            assert list(alert.group_by) == rules[alert.rule]["correlation"].get("group-by", [])


def test_a_decoy_says_why_it_must_not_alert() -> None:
    for story in load_stories():
        assert bool(story.because) is not bool(story.expected), story.id


def test_the_stories_unfold_within_two_minutes() -> None:
    play = stage(INSTITUTIONS, run=1, start=0)
    assert 60_000 < play.end < 120_000


def test_expected_members_stand_in_the_order_in_which_the_story_reaches_them() -> None:
    for story in load_stories():
        reached = list(dict.fromkeys(beat.member for beat in sorted(story.beats, key=lambda beat: beat.at)))
        for alert in story.expected:
            assert list(alert.members) == [member for member in reached if member in alert.members]


def test_runs_and_stories_share_no_attacker() -> None:
    stories = load_stories()
    casts = [cast_of(stories, number, run) for run in range(1, 60) for number in range(len(stories))]
    attackers = [cast for cast in casts if cast.address != FEDERATION_SCANNER]
    assert len({cast.address for cast in attackers}) == len(attackers)
    assert len({cast.sha256 for cast in casts}) == len(casts)


def test_every_address_is_used_before_one_comes_again() -> None:
    stories = load_stories()
    runs = len(ATTACKER_ADDRESSES) // len(stories)
    turns = [cast_of(stories, number, run).address for run in range(runs) for number in range(len(stories))]
    attackers = [address for address in turns if address != FEDERATION_SCANNER]
    assert all(a != b for a, b in combinations(attackers[:200], 2))


@pytest.mark.parametrize("speed", [0.5, 3.0])
def test_speed_stretches_time_and_nothing_else(speed: float) -> None:
    plain, other = stage(INSTITUTIONS, run=4, start=1_000), stage(INSTITUTIONS, run=4, start=1_000, speed=speed)
    assert [said.words for said in plain.said] == [said.words for said in other.said]
    assert len(plain.lines) == len(other.lines)
    assert other.end - 1_000 == pytest.approx((plain.end - 1_000) / speed, abs=2)


def test_lines_are_in_order_of_time_and_belong_to_the_institutions() -> None:
    lines = stage(INSTITUTIONS, run=1, start=0).lines
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert {line.member for line in lines} == {institution.id for institution in INSTITUTIONS}
