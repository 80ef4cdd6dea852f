from pipeline.jobs.message import (
    AccountDelta,
    Message,
    Passing,
    Roster,
    ShardBatch,
    address,
    address_of,
    decode,
    encode,
)
from schemas.hit import GroupHit, Hit

HIT = GroupHit("rule", ("203.0.113.7",), Hit(1, 2, 1, "bank-a", "v", 1, "events.bank-a", 0, 5, 0, "e1"))
MESSAGES: list[Message] = [
    ShardBatch(3, [HIT], {"events.bank-a/0": 17}, [Roster({"events.bank-a": 2}, 5)]),
    AccountDelta("events.bank-a", 1, next_offset=9, records=2, lines=3),
    Passing("alerts", "id", b"{}\x00\xff"),
]


def test_every_message_survives_the_round_trip() -> None:
    for message in MESSAGES:
        assert decode(encode(message)) == message


def test_the_address_is_read_without_decoding() -> None:
    assert [address_of(encode(message)) for message in MESSAGES] == [
        "shard/3",
        "account/events.bank-a/1",
        "pass/alerts",
    ]
    assert all(address_of(encode(message)) == address(message) for message in MESSAGES)
