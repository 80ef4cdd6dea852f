"""What the people of a story can do: each action writes the lines that the institution's products would write."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Final

from deploy.demo.institutions import Institution, Line
from deploy.demo.native_logs import cef, defender_event, nginx_access, payment, portal, sshd, sysmon_event

SCANNER_AGENT: Final = "Mozilla/5.0 (compatible; Nuclei - Open-source project)"
_TOOL_AGENT: Final = "python-requests/2.32.5"
_PROBES: Final = (
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/actuator/env",
    "/phpmyadmin/index.php",
    "/manager/html",
    "/owa/auth/logon.aspx",
    "/cgi-bin/test.cgi",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/server-status",
    "/login",
    "/",
)
_SHELL_PATH: Final = r"C:\inetpub\wwwroot\reports\aspnet_help.aspx"


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays a story: the attacker's address and file."""

    address: str
    sha256: str

    def fill(self, text: str) -> str:
        """The text with {address} and {sha256} filled in."""
        return text.replace("{address}", self.address).replace("{sha256}", self.sha256)


Action = Callable[[Institution, Cast, int, random.Random], list[Line]]
"""(where, who, when in ms, dice) -> the lines of one occurrence, all stamped with that moment or just after."""


def probe_web(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """A scanner asks for one of the paths that only intruders want."""
    path = rng.choice(_PROBES)
    status = {"/": 200, "/login": 200}.get(path, 404)
    text = nginx_access(at, cast.address, f"GET {path} HTTP/1.1", status=status, size=153, agent=SCANNER_AGENT)
    return [Line(at, institution.id, "access", text)]


def fail_logins(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """A stolen name and password from a list; this institution's customer has another, or is none."""
    reason = "unknown_user" if rng.random() < 0.7 else "bad_password"
    return _try_login(institution, cast, at, _stolen_name(rng), "failure", reason=reason)


def log_in(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:  # noqa: ARG001 - an Action
    """A stolen password fits."""
    return _try_login(institution, cast, at, _victim(institution), "success")


def transfer(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """The victim's account pays a new payee."""
    payee, customer = f"{rng.randrange(10**10):010d}", _victim(institution)
    text = payment(at, address=cast.address, customer=customer, payee=payee, amount="480000.00", currency="TWD")
    return [Line(at, institution.id, "payments", text)]


def drop_web_shell(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """The web server's worker writes a script into a web folder; antivirus looks at it a moment later."""
    host = f"{institution.short}-IIS01.corp.{institution.domain}"
    created = {
        "Image": r"C:\Windows\System32\inetsrv\w3wp.exe",
        "TargetFilename": _SHELL_PATH,
        "Hash": f"SHA256={cast.sha256.upper()}",
        "ProcessId": str(rng.randrange(2_000, 9_000)),
        "User": r"IIS APPPOOL\DefaultAppPool",
    }
    found = {
        "Threat Name": "Backdoor:ASP/Chopper.F!dha",
        "Severity Name": "Severe",
        "Category Name": "Backdoor",
        "Path": f"file:_{_SHELL_PATH}",
        "Process Name": r"C:\Windows\System32\inetsrv\w3wp.exe",
        "SHA256": cast.sha256,
    }
    return [
        Line(at, institution.id, "windows", sysmon_event(at, host, 15, created)),
        Line(at + 600, institution.id, "windows", defender_event(at + 600, host, 1116, found)),
    ]


def raise_ddos_alarm(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """The mitigation appliance reports a flood; its sources are many and forged."""
    text = cef(
        at,
        f"{institution.short.lower()}-ddos-1",
        ("Palisade", "FloodGate", "4.1"),
        "ddos",
        "UDP flood",
        9,
        act="mitigate",
        src=cast.address,
        dst=institution.internal(1, 10),
        dpt=443,
        proto="UDP",
        cnt=rng.randrange(400_000, 2_000_000),
    )
    return [Line(at, institution.id, "firewall", text)]


def guess_ssh(institution: Institution, cast: Cast, at: int, rng: random.Random) -> list[Line]:
    """One more password for an administrator's account."""
    pid, port = rng.randrange(2_000, 60_000), rng.randrange(30_000, 60_000)
    message = f"Failed password for {rng.choice(('root', 'admin', 'ops'))} from {cast.address} port {port} ssh2"
    return [Line(at, institution.id, "auth", sshd(at, f"{institution.short.lower()}-web-1", pid, message))]


ACTIONS: Final[dict[str, Action]] = {
    "probe_web": probe_web,
    "fail_logins": fail_logins,
    "log_in": log_in,
    "transfer": transfer,
    "drop_web_shell": drop_web_shell,
    "raise_ddos_alarm": raise_ddos_alarm,
    "guess_ssh": guess_ssh,
}


def _try_login(institution: Institution, cast: Cast, at: int, customer: str, result: str, **more: str) -> list[Line]:
    status = 302 if result == "success" else 401
    page = nginx_access(at, cast.address, "POST /login HTTP/1.1", status=status, size=212, agent=_TOOL_AGENT)
    text = portal(at, "login", result, address=cast.address, customer=customer, channel="web", **more)
    return [Line(at, institution.id, "access", page), Line(at, institution.id, "portal", text)]


def _stolen_name(rng: random.Random) -> str:
    return f"{rng.choice(ascii_lowercase)}{rng.choice(('chen', 'lin', 'wang', 'huang', 'wu'))}{rng.randrange(9999)}"


def _victim(institution: Institution) -> str:
    return f"{institution.short.lower()}000321"
