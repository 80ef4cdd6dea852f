"""Every class of defect is told with file, line and what to do; `messages.txt` holds the exact words.

After a change of words: `python -m tests.pipeline.workbench.test_defects`, and read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.detect.load import MAX_FILE_BYTES
from pipeline.workbench.check import check_rules
from schemas.member import Member, MemberRegistry

DEFECTS = Path(__file__).parent / "defects"
MESSAGES = DEFECTS / "messages.txt"
SIX = MemberRegistry(
    members=tuple(Member(id=f"member-{number}", name="M", datasets=("portal.audit",)) for number in range(6))
)
PLACEHOLDERS = {"accounts": [f"user-{number}" for number in range(300)], "offices|cidr": ["192.0.2.0/24"]}


def told(path: Path) -> list[str]:
    """What the check says about one file, without the folder."""
    findings = check_rules([path], SIX, PLACEHOLDERS).findings
    return [finding.message.replace(f"{DEFECTS}/", "") for finding in findings]


def expected() -> dict[str, list[str]]:
    """File name -> its messages."""
    messages: dict[str, list[str]] = {}
    for line in MESSAGES.read_text(encoding="utf-8").splitlines():
        messages.setdefault(line.partition(":")[0], []).append(line)
    return messages


@pytest.mark.parametrize("path", sorted(DEFECTS.glob("*.yml")), ids=lambda path: path.stem)
def test_a_defect_is_told_in_these_words(path: Path) -> None:
    assert told(path) == expected()[path.name]


def test_every_message_belongs_to_a_defect() -> None:
    assert expected().keys() == {path.name for path in DEFECTS.glob("*.yml")}


def test_a_file_too_large_for_a_rule_is_told_and_the_others_are_checked(tmp_path: Path) -> None:
    large = tmp_path / "large.yml"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    sound = tmp_path / "sound.yml"
    sound.write_bytes((DEFECTS / "unused.yml").read_bytes())
    assert told(tmp_path) == [
        f"{large}:1: too large for a rule file; expected at most 4194304 bytes",
        *(line.replace("unused.yml", str(sound)) for line in expected()["unused.yml"]),
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.symlink_to("/proc/self/mem")  # a file whose first byte cannot be read, by root neither
    assert told(broken) == [f"{broken}: cannot read: Input/output error"]


if __name__ == "__main__":
    lines = [line for path in sorted(DEFECTS.glob("*.yml")) for line in told(path)]
    MESSAGES.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
