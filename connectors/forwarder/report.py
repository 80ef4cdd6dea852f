"""The dry run as one HTML page for a compliance officer: what leaves, field by field, and what stays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from connectors.forwarder.dry_run import Trial
from connectors.forwarder.heartbeat import agent_version
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import Dropped, Refused
from schemas.errors import printable
from schemas.times import now_ms, to_rfc3339

MAX_SHOWN: Final = 2000
EXAMPLES: Final = 3

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a2230;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem;border-bottom:1px solid #d5dae2;padding-bottom:.3rem}
table{border-collapse:collapse;width:100%;margin:.8rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #e4e8ee;overflow-wrap:anywhere}th{font-weight:600;background:#f4f6f9}
code,td.v{font-family:ui-monospace,monospace;font-size:.86rem}.plain{background:#fff}.hash{background:#ece6fb}
.reduced{background:#fff3d6}.set{color:#5b6675}.stays{background:#e3f4e7}.raw{background:#f4f6f9;padding:.5rem;
overflow-wrap:anywhere;white-space:pre-wrap}.key span{padding:.1rem .5rem;margin-right:.6rem;border:1px solid #d5dae2}
"""
_KINDS: Final = {
    "plain": "leaves as it is",
    "reduced": "leaves in part: shortened, masked or filtered",
    "hash": "leaves as a keyed hash",
    "set": "a constant, or made by the forwarder",
}
_REDUCING: Final = frozenset(
    ("account", "ip", "any_ip", "email_domain", "url_path", "path", "threat_path", "file_name", "command_line")
) | {"audit_args"}


def kind_of(origin: str) -> str:
    """How a field is protected, told from where it comes: `plain`, `reduced`, `hash` or `set`."""
    if origin.startswith("hmac("):
        return "hash"
    conversion, of, _ = origin.partition(" of ")
    if not of:
        return "set" if origin in ("set by the mapping", "added by the forwarder") else "plain"
    return "reduced" if conversion in _REDUCING else "plain"


def report(settings: ForwarderSettings, trials: Iterable[Trial], policy: str) -> str:
    """The page; holds raw lines, so it is for the institution's own eyes."""
    by_input: dict[str, list[Trial]] = {one.name: [] for one in settings.inputs}
    for trial in trials:
        by_input[trial.input].append(trial)
    parts = [part for name, found in by_input.items() for part in _section(name, found)]
    told = (
        f"<p>Made on {to_rfc3339(now_ms())} by forwarder {escape(agent_version())} from the newest lines of every "
        f"input. Nothing was sent. Policy <code>{escape(policy)}</code>: the same hash comes with every heartbeat for "
        "as long as mappings, inputs, internal networks and key epochs stay as they are.</p>"
    )
    keys = " ".join(f'<span class="{kind}">{what}</span>' for kind, what in _KINDS.items())
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>What leaves {escape(settings.member)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>What leaves {escape(settings.member)}</h1>",
            told,
            f'<p class="key">{keys} <span class="stays">stays here</span></p>',
            *parts,
            "</body></html>\n",
        )
    )


def _section(name: str, trials: list[Trial]) -> Iterator[str]:
    yield f"<h2>Input {escape(name)}</h2>"
    if not trials:
        yield "<p>No line was found.</p>"
        return
    fates = Counter(_fate(trial) for trial in trials)
    source = "samples of the mapping" if trials[0].is_sample else "newest lines"
    yield f"<p>Mapping {escape(trials[0].mapping)}; {len(trials)} {source}: "
    yield "; ".join(f"{count} {escape(printable(fate))}" for fate, count in fates.most_common()) + ".</p>"
    yield from _fields(trials)
    yield from _stays(trials)
    for trial in trials[:EXAMPLES]:
        raw = printable(trial.line.raw[:MAX_SHOWN].decode("utf-8", "backslashreplace"))
        yield f'<details><summary>{escape(_fate(trial))}</summary><div class="raw"><code>{escape(raw)}</code></div>'
        yield from _event(trial)
        yield "</details>"


def _fields(trials: list[Trial]) -> Iterator[str]:
    seen: dict[str, tuple[str, str, int]] = {}
    for trial in trials:
        if isinstance(trial.outcome, dict):
            for field, value in trial.outcome.items():
                origin = trial.origins.get(field, "added by the forwarder")
                _, example, count = seen.get(field, (origin, _shown(value), 0))
                seen[field] = (origin, example, count + 1)
    if not seen:
        return
    yield "<table><tr><th>field that leaves</th><th>comes from</th><th>example</th><th>lines</th></tr>"
    for field, (origin, example, count) in sorted(seen.items()):
        yield (
            f'<tr class="{kind_of(origin)}"><td>{escape(field)}</td><td>{escape(origin)}</td>'
            f'<td class="v">{escape(example)}</td><td>{count}</td></tr>'
        )
    yield "</table>"


def _stays(trials: list[Trial]) -> Iterator[str]:
    staying = Counter(field for trial in trials for field in trial.stays)
    if staying:
        shown = ", ".join(f"<code>{escape(printable(field))}</code>" for field in sorted(staying))
        yield f'<p class="stays">Read and not forwarded: {shown}</p>'


def _event(trial: Trial) -> Iterator[str]:
    if not isinstance(trial.outcome, dict):
        return
    yield "<table>"
    for field, value in trial.outcome.items():
        origin = trial.origins.get(field, "added by the forwarder")
        yield f'<tr class="{kind_of(origin)}"><td>{escape(field)}</td><td class="v">{escape(_shown(value))}</td></tr>'
    yield "</table>"


def _fate(trial: Trial) -> str:
    match trial.outcome:
        case Dropped(reason):
            return f"dropped ({reason})"
        case Refused(reason, _):
            return f"kept as a dead letter ({reason})"
        case _:
            return "sent"


def _shown(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:MAX_SHOWN]
