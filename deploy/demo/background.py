"""Everyday traffic of the institutions: customers, administrators, and the noise every network hears. Raises no alert.

Believable where it matters to the rules: customers mistype passwords, hold accounts at several institutions, share
carrier and office addresses; strangers try SSH passwords; firewalls deny.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from deploy.demo.institutions import Institution, Line
from deploy.demo.native_logs import cef, nginx_access, payment, portal, security_event, sshd, sysmon_event

CUSTOMERS_PER_LINE_A_SECOND: Final = 1_000
"""How many customers it takes to make one line a second: each comes about every other hour, whatever the rate."""
LINES_AN_ARRIVAL: Final = 2.65
"""Measured: what one arrival writes on average."""
NOISE_ADDRESSES: Final = tuple(f"192.0.2.{host}" for host in range(1, 200))
"""The internet's background noise; the stories' attackers use other ranges."""

_BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
_PAGES: Final = ("/accounts", "/accounts/statement", "/cards", "/messages", "/rates", "/help/contact", "/assets/app.js")
_PROGRAMS: Final = (
    r"C:\Windows\System32\svchost.exe",
    r"C:\Windows\System32\taskhostw.exe",
    r"C:\Program Files\Microsoft Office\root\Office16\OUTLOOK.EXE",
    r"C:\Program Files\CoreBank\Teller.exe",
)
_DENIED_PORTS: Final = (23, 445, 1433, 3389, 5900, 8080, 8443)


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with accounts at one to three institutions, always behind the same address."""

    number: int
    address: str
    browser: str
    accounts: tuple[int, ...]
    """Indexes of institutions."""


def background(institutions: tuple[Institution, ...], *, seed: int, start: int, rate: float) -> Iterator[Line]:
    """Endless lines in order of time.

    Args:
        institutions: who writes them.
        seed: the same seed, start and rate give the same lines.
        start: ms; time of the first.
        rate: lines a second on average, all institutions together.
    """
    town = _Town(institutions, seed, max(50, int(rate * CUSTOMERS_PER_LINE_A_SECOND)))
    pending: list[Line] = []
    now = float(start)
    while True:
        now += town.rng.expovariate(rate / LINES_AN_ARRIVAL / 1000)
        while pending and pending[0].at <= now:
            yield heapq.heappop(pending)
        for line in town.arrival(int(now)):
            heapq.heappush(pending, line)


class _Town:
    """Who lives and works there, and what they do next."""

    def __init__(self, institutions: tuple[Institution, ...], seed: int, customers: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - an invented town, no secret
        self._seed, self._customers = seed, customers
        self._institutions = institutions
        self._shares = [institution.share for institution in institutions]
        doings: tuple[tuple[Callable[[int], list[Line]], int], ...] = (
            (self._visit, 56),
            (self._windows, 20),
            (self._firewall_deny, 14),
            (self._administrator, 4),
            (self._ssh_noise, 4),
            (self._crawler, 2),
        )
        self._doings = [doing for doing, _ in doings]
        self._weights = [weight for _, weight in doings]

    def arrival(self, at: int) -> list[Line]:
        """What the next to come does; its lines may lie some seconds ahead."""
        (doing,) = self.rng.choices(self._doings, self._weights)
        return doing(at)

    def _customer(self, number: int) -> Customer:
        """The same person whenever the number comes up: nobody is kept in memory."""
        rng = random.Random(f"{self._seed}/{number}")  # noqa: S311 - as above
        (home,) = rng.choices(range(len(self._institutions)), self._shares)
        accounts = {home}
        while rng.random() < 0.12 and len(accounts) < 3:
            accounts.add(rng.randrange(len(self._institutions)))
        if rng.random() < 0.1:  # a carrier's shared address, some two hundred customers behind each
            address = f"100.64.{rng.randrange(1 + self._customers // 2_000) % 256}.1"
        else:
            address = f"100.{65 + number // 65_536 % 62}.{number // 256 % 256}.{number % 256}"
        return Customer(number, address, rng.choice(_BROWSERS), tuple(sorted(accounts)))

    def _somewhere(self) -> Institution:
        (institution,) = self.rng.choices(self._institutions, self._shares)
        return institution

    def _stranger(self, institution: Institution) -> str:
        """An address of the internet's noise; each of them keeps to one institution."""
        return NOISE_ADDRESSES[self._institutions.index(institution) :: len(self._institutions)][self.rng.randrange(30)]

    def _visit(self, at: int) -> list[Line]:
        """A customer reads pages, usually logs in, sometimes mistypes, sometimes pays."""
        rng = self.rng
        customer = self._customer(rng.randrange(self._customers))
        institution = self._institutions[rng.choice(customer.accounts)]
        if rng.random() < 0.35:
            return [self._page(at, institution, customer, "GET / HTTP/1.1")]
        lines = [self._page(at, institution, customer, "GET /login HTTP/1.1")]
        clock = at + rng.randint(4_000, 15_000)
        while rng.random() < 0.06:
            lines += self._login(clock, institution, customer, "failure")
            clock += rng.randint(5_000, 20_000)
        lines += self._login(clock, institution, customer, "success")
        for _ in range(rng.randint(1, 3)):
            clock += rng.randint(2_000, 20_000)
            lines.append(self._page(clock, institution, customer, f"GET {rng.choice(_PAGES)} HTTP/1.1"))
        if rng.random() < 0.2:
            lines.append(self._transfer(clock + 9_000, institution, customer))
        return lines

    def _login(self, at: int, institution: Institution, customer: Customer, result: str) -> list[Line]:
        status = 302 if result == "success" else 401
        slip = "unknown_user" if self.rng.random() < 0.08 else "bad_password"
        reason = {} if result == "success" else {"reason": slip}
        name = f"{institution.short.lower()}{customer.number:06d}"
        text = portal(at, "login", result, address=customer.address, customer=name, channel="web", **reason)
        return [
            self._page(at, institution, customer, "POST /login HTTP/1.1", status),
            Line(at, institution.id, "portal", text),
        ]

    def _transfer(self, at: int, institution: Institution, customer: Customer) -> Line:
        name = f"{institution.short.lower()}{customer.number:06d}"
        payee = f"{self.rng.randrange(10**10):010d}"
        amount = f"{self.rng.randrange(300, 40_000)}.00"
        text = payment(at, address=customer.address, customer=name, payee=payee, amount=amount, currency="TWD")
        return Line(at, institution.id, "payments", text)

    def _page(self, at: int, institution: Institution, customer: Customer, request: str, status: int = 200) -> Line:
        site = f"https://online.{institution.domain}/"
        size = self.rng.randrange(400, 60_000)
        text = nginx_access(
            at, customer.address, request, status=status, size=size, referer=site, agent=customer.browser
        )
        return Line(at, institution.id, "access", text)

    def _crawler(self, at: int) -> list[Line]:
        """A stranger asks for odd paths, at one institution, a few times: weather, not a campaign."""
        rng, institution = self.rng, self._somewhere()
        address = self._stranger(institution)
        path = rng.choice(("/robots.txt", "/.env", "/wp-login.php", "/favicon.ico", "/sitemap.xml"))
        status = 200 if path.startswith(("/robots", "/favicon", "/sitemap")) else 404
        text = nginx_access(at, address, f"GET {path} HTTP/1.1", status=status, size=153, agent="Mozilla/5.0 zgrab/0.x")
        return [Line(at, institution.id, "access", text)]

    def _administrator(self, at: int) -> list[Line]:
        rng, institution = self.rng, self._somewhere()
        host, pid = f"{institution.short.lower()}-web-{rng.randint(1, 2)}", rng.randrange(2_000, 60_000)
        user, port = rng.choice(("deploy", "ops", "backup")), rng.randrange(30_000, 60_000)
        source = institution.internal(8, rng.randint(2, 40))
        message = (
            f"Accepted publickey for {user} from {source} port {port} ssh2: ED25519 SHA256:{rng.randbytes(16).hex()}"
        )
        return [Line(at, institution.id, "auth", sshd(at, host, pid, message))]

    def _ssh_noise(self, at: int) -> list[Line]:
        """A stranger tries a few passwords at one institution and moves on."""
        rng, institution = self.rng, self._somewhere()
        host, address = f"{institution.short.lower()}-web-1", self._stranger(institution)
        lines = []
        for _ in range(rng.randint(1, 4)):
            user, pid, port = (
                rng.choice(("admin", "oracle", "test", "ubuntu")),
                rng.randrange(60_000),
                rng.randrange(60_000),
            )
            message = f"Failed password for invalid user {user} from {address} port {port} ssh2"
            lines.append(Line(at, institution.id, "auth", sshd(at, host, pid, message)))
            at += rng.randint(1_500, 4_000)
        return lines

    def _windows(self, at: int) -> list[Line]:
        rng, institution = self.rng, self._somewhere()
        host = f"{institution.short}-WS{rng.randint(1, 60):03d}.corp.{institution.domain}"
        user = f"{institution.short.lower()}.staff{rng.randint(1, 60):02d}"
        address = institution.internal(rng.randint(10, 14), rng.randint(2, 250))
        what = rng.random()
        if what < 0.45:
            data = {"TargetUserName": user, "LogonType": "3", "IpAddress": address, "IpPort": "0"}
            text = security_event(at, host, 4624, data)
        elif what < 0.5:
            data = {"TargetUserName": user, "LogonType": "3", "IpAddress": address, "Status": "0xc000006a"}
            text = security_event(at, host, 4625, data)
        else:
            program = rng.choice(_PROGRAMS)
            data = {
                "Image": program,
                "CommandLine": program,
                "User": f"CORP\\{user}",
                "ProcessId": str(rng.randrange(9_000)),
            }
            data |= {"ParentImage": r"C:\Windows\explorer.exe", "Hashes": f"SHA256={_digest(program)}"}
            text = sysmon_event(at, host, 1, data)
        return [Line(at, institution.id, "windows", text)]

    def _firewall_deny(self, at: int) -> list[Line]:
        rng, institution = self.rng, self._somewhere()
        text = cef(
            at,
            f"{institution.short.lower()}-fw-1",
            ("Palisade", "EdgeGuard", "7.2"),
            "deny",
            "Connection denied",
            3,
            act="deny",
            src=rng.choice(NOISE_ADDRESSES),
            dst=institution.internal(1, rng.randint(10, 30)),
            dpt=rng.choice(_DENIED_PORTS),
            proto="TCP",
        )
        return [Line(at, institution.id, "firewall", text)]


def _digest(text: str) -> str:
    return random.Random(text).randbytes(32).hex().upper()  # noqa: S311 - stands for a file's hash
