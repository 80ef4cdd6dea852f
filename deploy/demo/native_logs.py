"""Log lines as the products themselves write them: nginx, OpenSSH, Winlogbeat, CEF appliances, portal, payments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.times import to_rfc3339


def nginx_access(
    at: int, address: str, request: str, *, status: int = 200, size: int = 0, referer: str = "-", agent: str = "-"
) -> str:
    """A line of nginx's access log in the `combined` format; times in whole seconds."""
    stamp = _utc(at).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{address} - - [{stamp}] "{request}" {status} {size} "{referer}" "{agent}"'


def sshd(at: int, host: str, pid: int, message: str) -> str:
    """A line of `auth.log` by OpenSSH, time as current rsyslog writes it."""
    stamp = _utc(at).isoformat(timespec="milliseconds")
    return f"{stamp} {host} sshd[{pid}]: {message}"


def winlogbeat(at: int, host: str, channel: str, provider: str, code: int, data: Mapping[str, str]) -> str:
    """A Windows event as Winlogbeat publishes it, one JSON object."""
    return _json(
        {
            "@timestamp": to_rfc3339(at),
            "agent": {"type": "winlogbeat", "version": "8.19.0"},
            "event": {"code": str(code), "kind": "event", "provider": provider},
            "host": {"name": host},
            "log": {"level": "information"},
            "winlog": {
                "api": "wineventlog",
                "channel": channel,
                "computer_name": host,
                "event_id": str(code),
                "provider_name": provider,
                "record_id": at % 10_000_000,
                "event_data": dict(data),
            },
        }
    )


def security_event(at: int, host: str, code: int, data: Mapping[str, str]) -> str:
    """An event of the Windows Security log."""
    return winlogbeat(at, host, "Security", "Microsoft-Windows-Security-Auditing", code, data)


def sysmon_event(at: int, host: str, code: int, data: Mapping[str, str]) -> str:
    """An event of Sysmon; adds its `UtcTime`."""
    stamped = {"UtcTime": _utc(at).strftime("%Y-%m-%d %H:%M:%S.") + f"{at % 1000:03d}"} | dict(data)
    return winlogbeat(at, host, "Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", code, stamped)


def defender_event(at: int, host: str, code: int, data: Mapping[str, str]) -> str:
    """An event of Microsoft Defender; its field names hold blanks, as the product writes them."""
    provider = "Microsoft-Windows-Windows Defender"
    return winlogbeat(at, host, f"{provider}/Operational", provider, code, data)


def cef(
    at: int, host: str, device: tuple[str, str, str], signature: str, name: str, severity: int, **extension: object
) -> str:
    """A CEF line behind a syslog header; `device` is vendor, product, version."""
    stamp = _utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    header = "|".join((*map(_cef_header, device), _cef_header(signature), _cef_header(name), str(severity)))
    values = " ".join(f"{key}={_cef_value(value)}" for key, value in ({"rt": at} | extension).items())
    return f"{stamp} {host} CEF:0|{header}|{values}"


def portal(at: int, event: str, result: str, *, address: str, customer: str, **more: Any) -> str:
    """A line of the customer portal's audit log, JSON."""
    fields = {"time": to_rfc3339(at), "event": event, "result": result, "ip": address, "user": customer}
    return _json(fields | more)


def payment(at: int, *, address: str, customer: str, payee: str, amount: str, **more: Any) -> str:
    """A line of the payments log: a transfer was ordered; JSON."""
    fields = {"time": to_rfc3339(at), "event": "transfer", "ip": address, "user": customer}
    return _json(fields | {"payee": payee, "amount": amount} | more)


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _cef_header(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")
