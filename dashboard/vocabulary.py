"""The words our data uses - levels, states, reasons, roles - as people read them, in the language of the request."""

from __future__ import annotations

from typing import Final

from dashboard.language import say

LABELS: Final[dict[str, str]] = {
    "critical": "Critical",
    "high": "High",
    "medium": "Medium",
    "low": "Low",
    "informational": "Informational",
    "open": "Open",
    "settled": "Settled",
    "superseded": "Superseded",
    "acknowledged": "Acknowledged",
    "closed": "Closed",
    "moved": "Moved",
    "reopened": "Reopened",
    "true_positive": "True positive",
    "benign_true_positive": "Benign true positive",
    "false_positive": "False positive",
    "duplicate": "Duplicate",
    "drill": "Drill",
    "no_action": "No action",
    "assigned": "Assigned",
    "tagged": "Tagged",
    "untagged": "Tag removed",
    "noted": "Note",
    "notified": "Institution notified",
    "answered": "Institution answered",
    "escalated": "Escalated",
    "excepted": "Exception proposed",
    "false_alarm": "False alarm",
    "confirmed": "Confirmed",
    "cannot_tell": "Cannot tell",
    "waiting": "Waiting",
    "overdue": "Overdue",
    "proposed": "Proposed",
    "in_force": "In force",
    "ended": "Ended",
    "expired": "Expired",
    "analyst": "Analyst",
    "lead": "Lead",
    "rule_author": "Rule author",
    "auditor": "Auditor",
    "member_viewer": "Institution's viewer",
    "bank": "bank",
    "securities": "securities firm",
    "insurer": "insurer",
    "payments": "payments",
    "other": "other",
    "reporting": "Reporting",
    "no_heartbeat": "No heartbeat",
    "no_events": "Heartbeat, no events",
    "unknown": "Never heard of",
    "disabled": "Disabled",
    "1h": "1 hour",
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
}


def label(word: str) -> str:
    """How a word of the data is shown; an unknown one as it is.

    >>> label("true_positive")
    'True positive'
    """
    return say(LABELS[word]) if word in LABELS else word
