"""Which Sigma log source an event belongs to: a dictionary look-up in `logsources.yml`, made once per event."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import yaml

from schemas.errors import ConfigError
from schemas.event import Fields, Value

ATTRIBUTES: Final = ("product", "category", "service")
PREFIX: Final = "jointsoc.logsource."
PRODUCT: Final = PREFIX + "product"
CATEGORY: Final = PREFIX + "category"
SERVICE: Final = PREFIX + "service"
FIELDS: Final = (PRODUCT, CATEGORY, SERVICE)
CHANNEL_FIELDS: Final = ("winlog.channel", "Channel")
CODE_FIELDS: Final = ("event.code", "EventID")
DATASET: Final = "event.dataset"
MODULE: Final = "event.module"


class LogSourceTable(NamedTuple):
    """`logsources.yml`, ready for look-ups; channels and event codes in lower case."""

    windows: dict[tuple[str, str], Entry]
    """(channel, event code) -> entry; code `""` is every other code of the channel."""
    other_channels: Entry
    """Of a channel that is not named."""
    datasets: dict[str, Entry]
    modules: dict[str, Entry]
    names: tuple[frozenset[str], frozenset[str], frozenset[str]]
    """Every product, category and service there is: what counts where an event names them plainly."""


class Entry(NamedTuple):
    """One log source, and what further fields add to it."""

    names: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    """Names for product, category and service."""
    refine: dict[str, dict[str, Entry]]
    """Field -> its value -> what that adds, and refines further."""


_NO_NAMES: Final = (frozenset[str](), frozenset[str](), frozenset[str]())


def derive_logsource(fields: Fields) -> None:
    """Set those of `jointsoc.logsource.{product,category,service}` that the event does not state itself.

    Looked up by `winlog.channel` and `event.code` (or `Channel` and `EventID`, raw), then `event.dataset`, then
    `event.module`; the first that is known decides. If none is, plain `product` and `category` are taken at their word
    where they hold names of the table, and `service` beside one of them; a channel that the table does not name is one
    of Windows. An event that belongs to several gets a tuple.
    An unknown event is left as it is.
    """
    if PRODUCT in fields and CATEGORY in fields and SERVICE in fields:
        return
    entry = _entry_of(fields)
    if entry is None:
        return
    names = [list(known) for known in entry.names]
    _refine(entry, fields, names)
    for field, known in zip(FIELDS, names, strict=True):
        if known and field not in fields:
            fields[field] = known[0] if len(known) == 1 else tuple(known)


def deciding_fields(names: Collection[str]) -> list[str]:
    """Those of an event's field names that `derive_logsource` looks at."""
    if all(field in names for field in FIELDS):
        return list(FIELDS)
    channels = [field for field in CHANNEL_FIELDS if field in names]
    asked = [*FIELDS, *channels, *(CODE_FIELDS if channels else ()), DATASET, MODULE]
    if channels or DATASET in names or MODULE in names:
        asked += _refining_fields()
    if ATTRIBUTES[0] in names or ATTRIBUTES[1] in names:
        asked += ATTRIBUTES
    return [field for field in dict.fromkeys(asked) if field in names]


def telling_fields() -> list[str]:
    """Every field that `derive_logsource` may look at."""
    return [*FIELDS, *CHANNEL_FIELDS, *CODE_FIELDS, DATASET, MODULE, *_refining_fields(), *ATTRIBUTES]


@cache
def _refining_fields() -> list[str]:
    table = load_table()
    return sorted({field for entry in _all_entries(table) for field in entry.refine})


def _all_entries(table: LogSourceTable) -> Iterator[Entry]:
    waiting = [*table.windows.values(), *table.datasets.values(), *table.modules.values()]
    while waiting:
        entry = waiting.pop()
        yield entry
        waiting += [further for choices in entry.refine.values() for further in choices.values()]


def _entry_of(fields: Fields) -> Entry | None:
    table = load_table()
    channel = fields.get(CHANNEL_FIELDS[0]) or fields.get(CHANNEL_FIELDS[1])
    if channel is not None:
        name, code = _key(channel), _key(fields.get(CODE_FIELDS[0], fields.get(CODE_FIELDS[1])))
        entry = table.windows.get((name, code)) or table.windows.get((name, ""))
        if entry is not None:
            return entry
    dataset = fields.get(DATASET)
    if isinstance(dataset, str) and dataset in table.datasets:
        return table.datasets[dataset]
    module = fields.get(MODULE)
    if isinstance(module, str) and module in table.modules:
        return table.modules[module]
    entry = _plain_entry(fields, table)
    if entry is None and isinstance(channel, str) and channel and _is_windows(fields):
        return table.other_channels
    return entry


def _is_windows(fields: Fields) -> bool:
    return CHANNEL_FIELDS[0] in fields or not fields.keys().isdisjoint(CODE_FIELDS)


def _plain_entry(fields: Fields, table: LogSourceTable) -> Entry | None:
    product, category = (_plain_name(fields, place, table) for place in (0, 1))
    if not product and not category:
        # `service` alone is something else: Zeek's name of the protocol, a unit of systemd.
        return None
    return Entry((product, category, _plain_name(fields, 2, table)), {})


def _plain_name(fields: Fields, place: int, table: LogSourceTable) -> tuple[str, ...]:
    value = fields.get(ATTRIBUTES[place])
    name = value.lower() if isinstance(value, str) else ""
    return (name,) if name in table.names[place] else ()


def _refine(entry: Entry, fields: Fields, names: list[list[str]]) -> None:
    for field, choices in entry.refine.items():
        value = fields.get(field)
        for one in value if isinstance(value, tuple) else (value,):
            chosen = choices.get(_text(one))
            if chosen is not None:
                for known, more in zip(names, chosen.names, strict=True):
                    known.extend(name for name in more if name not in known)
                _refine(chosen, fields, names)


def _key(value: Value) -> str:
    return _text(value[0] if isinstance(value, tuple) and value else value).lower()


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    # A boolean is not an event code, though Python would take True for 1.
    return str(value) if type(value) is int and -(10**9) < value < 10**9 else ""


@cache
def load_table() -> LogSourceTable:
    """The table, read once per process.

    Raises:
        ConfigError: `logsources.yml` is damaged.
    """
    data = yaml.load(files("schemas").joinpath("logsources.yml").read_bytes(), yaml.CSafeLoader)
    return read_table(data)


def read_table(data: Any) -> LogSourceTable:
    """Build the table from the YAML data.

    Raises:
        ConfigError: names the entry that is not one.
    """
    windows: dict[tuple[str, str], Entry] = {}
    base = {"product": data["windows"]["product"]}
    for channel, entry in data["windows"]["channels"].items():
        own = {key: value for key, value in entry.items() if key != "codes"}
        windows[channel.lower(), ""] = _entry(base | own, channel)
        for code, more in entry.get("codes", {}).items():
            windows[channel.lower(), str(code)] = _entry(base | own | more, f"{channel} {code}")
    datasets = {name: _entry(entry, name) for name, entry in data["datasets"].items()}
    modules = {name: _entry(entry, name) for name, entry in data["modules"].items()}
    table = LogSourceTable(windows, _entry(base, "windows"), datasets, modules, _NO_NAMES)
    entries = [*_all_entries(table), _entry(data["names"], "names")]
    product, category, service = (
        frozenset(name for entry in entries for name in entry.names[place]) for place in range(len(ATTRIBUTES))
    )
    return table._replace(names=(product, category, service))


def _entry(data: Any, where: str) -> Entry:
    if not isinstance(data, dict) or not data.keys() <= {*ATTRIBUTES, "refine"}:
        raise ConfigError(f"logsources.yml: {where}", "not a log source", got=data, expected=", ".join(ATTRIBUTES))
    refine = {
        field: {str(value): _entry(entry, f"{where} {field}") for value, entry in choices.items()}
        for field, choices in data.get("refine", {}).items()
    }
    return Entry((_names(data, "product"), _names(data, "category"), _names(data, "service")), refine)


def _names(data: dict[str, Any], attribute: str) -> tuple[str, ...]:
    value = data.get(attribute, ())
    return (value,) if isinstance(value, str) else tuple(value)
