"""The invented institutions, as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from schemas.member import Member

LOGS: Final = {
    "access": "nginx-access.log",
    "auth": "auth.log",
    "windows": "winlogbeat.ndjson",
    "firewall": "firewall.cef",
    "portal": "portal-audit.log",
    "payments": "payments.log",
}
"""The native logs every institution writes: short name -> file name."""

DATASETS: Final = (
    "nginx.access",
    "system.auth",
    "windows.security",
    "windows.sysmon",
    "windows.defender",
    "firewall.cef",
    "portal.audit",
    "payments.transfer",
)


class Line(NamedTuple):
    """One line of a native log, and when it is written (ms); sorts by time."""

    at: int
    member: str
    log: str
    """A key of `LOGS`."""
    text: str


class Institution(BaseModel):
    """One institution and what its log lines need to know about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    member: Member
    share: int = Field(ge=1, description="part of the background traffic")
    short: str = Field(description="begins the names of its Windows hosts")
    domain: str
    network: str = Field(description="first two bytes of its internal addresses")

    @property
    def id(self) -> str:
        """The member's id."""
        return self.member.id

    @property
    def name(self) -> str:
        """The institution's name."""
        return self.member.name

    def internal(self, subnet: int, host: int) -> str:
        """An internal address."""
        return f"{self.network}.{subnet}.{host}"


@cache
def load_institutions() -> tuple[Institution, ...]:
    """The six, in the file's order."""
    data = yaml.safe_load(Path(__file__).with_name("institutions.yml").read_text(encoding="utf-8"))
    institutions = []
    for entry in data["institutions"]:
        institution = Institution.model_validate(entry)
        member = institution.member.model_copy(update={"datasets": DATASETS})
        institutions.append(institution.model_copy(update={"member": member}))
    return tuple(institutions)
