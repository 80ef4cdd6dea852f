"""Every class of defect is told with file, line and what to do; `messages.txt` holds the exact words.

After a change of words: `python -m tests.pipeline.workbench.test_defects`, and read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.workbench.check import check_rules
from schemas.member import Member, MemberRegistry

DEFECTS = Path(__file__).parent / "defects"
MESSAGES = DEFECTS / "messages.txt"
SIX = MemberRegistry(
    members=tuple(Member(id=f"member-{number}", name="M", datasets=("portal.audit",)) for number in range(6))
)


def told(path: Path) -> list[str]:
    """What the check says about one file, without the folder."""
    findings = check_rules([path], SIX, {}).findings
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


if __name__ == "__main__":
    lines = [line for path in sorted(DEFECTS.glob("*.yml")) for line in told(path)]
    MESSAGES.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
