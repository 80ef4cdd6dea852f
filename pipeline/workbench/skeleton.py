"""A rule to start from: a detection, a correlation of it across institutions, and cases that already pass."""

from __future__ import annotations

import uuid
from datetime import date
from string import Template
from typing import Final

_DETECTION: Final = Template("""\
title: $title, one event
id: $detection_id
name: ${name}_event
status: experimental
description: |
  What one institution sees: write here what the event is, and why it is nothing by itself.
references:
  - https://example.org/why
author: $author
date: $date
license: Apache-2.0
tags:
  - attack.credential-access
  - attack.t1110
# Which events: category, product and service as in docs/sigma-conformance.md.
logsource:
  product: portal
  service: audit
detection:
  selection: # fields of ECS; all of them must fit, a list means any of its values
    event.action: login
    event.outcome: failure
  condition: selection
falsepositives:
  - Customers mistype their passwords
level: informational
""")
_CORRELATION: Final = Template("""\
title: $title
id: $correlation_id
name: $name
status: experimental
description: |
  What no institution sees alone: write here who does it, and what an analyst should do next.
references:
  - https://example.org/why
author: $author
date: $date
license: Apache-2.0
tags:
  - attack.credential-access
  - attack.t1110
correlation:
  type: event_count # or value_count, temporal, temporal_ordered
  rules:
    - ${name}_event
  group-by: # what is the same at all of them: an address, a file's hash, an account
    - source.ip
  timespan: 1h
  condition:
    gte: 6
federation:
  min_organizations: 3 # corporate groups, all within one hour
  share: # the finding may be shared when it concerns so many groups, under this label
    k: 3
    tlp: amber
falsepositives:
  - An address that many customers share
level: medium
""")
_CASES: Final = Template("""\
rule: $name
# member: corporate group, which counts once; "" is a group of its own
members: {alder-bank: "", birch-bank: "", cedar-bank: "", cedar-life: cedar-bank}
values:
  event: &event {event.dataset: portal.audit, event.action: login, event.outcome: failure, source.ip: 203.0.113.7}
cases:
  - name: two events at each of three institutions
    events:
      - {at: 0s, member: alder-bank, repeat: 2, every: 10s, event: *event}
      - {at: 5m, member: birch-bank, repeat: 2, every: 10s, event: *event}
      - {at: 9m, member: cedar-bank, repeat: 2, every: 10s, event: *event}
    expect:
      - {group_by: {source.ip: 203.0.113.7}, members: [alder-bank, birch-bank, cedar-bank], groups: 3, events: 6}
  - name: one institution too few
    events:
      - {at: 0s, member: alder-bank, repeat: 3, event: *event}
      - {at: 5m, member: birch-bank, repeat: 3, event: *event}
    expect: []
  - name: two members of one corporate group count once
    events:
      - {at: 0s, member: alder-bank, repeat: 2, event: *event}
      - {at: 5m, member: cedar-bank, repeat: 2, event: *event}
      - {at: 9m, member: cedar-life, repeat: 2, event: *event}
    expect: []
  - name: a millisecond too late
    events:
      - {at: 0s, member: alder-bank, event: *event}
      - {at: 5m, member: birch-bank, repeat: 4, event: *event}
      - {at: 1h 1ms, member: cedar-bank, event: *event}
    expect: []
  - name: the first to be hit reports last
    events:
      - {at: 0s, member: alder-bank, repeat: 2, every: 10s, late: 30m, event: *event}
      - {at: 5m, member: birch-bank, repeat: 2, every: 10s, event: *event}
      - {at: 9m, member: cedar-bank, repeat: 2, every: 10s, event: *event}
    expect:
      - {members: [alder-bank, birch-bank, cedar-bank]}
""")
_DETECTION_CASES: Final = Template("""\
rule: ${name}_event
cases:
  - name: a refused login counts
    event: {event.dataset: portal.audit, event.action: login, event.outcome: failure}
    matches: true
  - name: a login that succeeded does not
    event: {event.dataset: portal.audit, event.action: login, event.outcome: success}
    matches: false
""")


def skeleton(name: str, author: str, today: date) -> dict[str, str]:
    """The files of a new rule: file name -> text. Ids are new each time.

    Args:
        name: lower-case letters, digits and `_`.
        author: who is named in the rules and in every alert; one line.
        today: the rules' date.
    """
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "author": author,
        "date": today.isoformat(),
        "detection_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
    }
    files = {
        f"{name}_event.yml": _DETECTION,
        f"{name}_event.cases.yaml": _DETECTION_CASES,
        f"{name}.yml": _CORRELATION,
        f"{name}.cases.yaml": _CASES,
    }
    return {file: template.substitute(values) for file, template in files.items()}
