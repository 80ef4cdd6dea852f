"""What the dashboard does by itself, in threads of its own: keeps workflows, sends findings, hears members."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from pydantic import ValidationError

from connectors.acknowledged_sender import AcknowledgedSender
from connectors.documents import Conflict
from connectors.indexer import ALERTS_TOPIC, INDEXER_GROUP
from connectors.kafka import SERVICE_BLOCK_MS, open_consumer, open_producer
from connectors.settings import KafkaConnection
from connectors.topic_follower import TopicFollower, TopicRecord
from dashboard.desk import Desk
from dashboard.member_desk import MemberDesk, Unknown
from dashboard.pulse import Backlog, Pulse
from dashboard.site import Site
from schemas.errors import ConnectionError_, printable
from schemas.finding import FEEDBACK_PREFIX, FINDINGS_PREFIX, Answer, Finding
from schemas.health import HEALTH_PREFIX, HEALTH_TOPIC
from schemas.times import from_rfc3339, now_ms, to_rfc3339

log = structlog.get_logger()

ROUND_SECONDS: Final = 2.0
LOOK_BACK_MS: Final = 30 * 86_400_000
OVERLAP_MS: Final = 120_000
"""An alert is indexed a while after it was made: each round looks at the last minutes again."""
HEALTH_MS: Final = 86_400_000
FEEDBACK_GROUP: Final = "dashboard-feedback"
MAX_ANSWER_BYTES: Final = 64 * 1024


class Background:
    """All of it; needs neither Kafka nor Elasticsearch to start."""

    def __init__(self, site: Site, kafka: KafkaConnection) -> None:
        self._stop = threading.Event()
        sender = AcknowledgedSender(lambda: open_producer(kafka, linger_ms=0, max_block_ms=SERVICE_BLOCK_MS))
        feedback = TopicFollower(
            lambda: open_consumer(kafka, group_id=FEEDBACK_GROUP),
            lambda topic: topic.startswith(FEEDBACK_PREFIX),
            lambda record: hear(site.member_desk, record),
            group=True,
        )
        health = TopicFollower(
            lambda: open_consumer(kafka),
            lambda topic: topic == HEALTH_TOPIC or topic.startswith(HEALTH_PREFIX),
            site.health.take,
            group=False,
            since=lambda: now_ms() - HEALTH_MS,
        )
        rounds: tuple[tuple[str, Callable[[], None]], ...] = (
            ("workflows", WorkflowRounds(site.desk)),
            ("touched", site.desk.look),
            ("findings", lambda: site.member_desk.keep(partial(send_finding, sender))),
            ("exceptions", site.exceptions.write),
            ("audit", site.audit.flush),
            ("to do", lambda: site.pulse.count(site.index, site.desk)),
            ("index lag", IndexLag(lambda: open_consumer(kafka, group_id=INDEXER_GROUP), site.pulse)),
        )
        self._threads = [
            threading.Thread(target=keep_going, args=(name, work, self._stop), name=name, daemon=True)
            for name, work in rounds
        ]
        self._threads += [
            threading.Thread(target=follower.run, args=(self._stop,), name=name, daemon=True)
            for name, follower in (("feedback", feedback), ("health", health))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a thread that waits for a server that is away is left behind, and ends with the process."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=0.5)


class WorkflowRounds:
    """Looks at the alerts whose revisions were made since the last round."""

    def __init__(self, desk: Desk, clock: Callable[[], int] = now_ms) -> None:
        self._desk, self._clock, self._since = desk, clock, to_rfc3339(clock() - LOOK_BACK_MS)

    def __call__(self) -> None:
        """One round; a revision that says it was made in the future does not hide those made now."""
        newest = min(from_rfc3339(self._desk.keep(self._since)), self._clock())
        self._since = max(self._since, to_rfc3339(newest - OVERLAP_MS))


class IndexLag:
    """Looks how far the indexer is behind the alerts in Kafka.

    Args:
        connect: makes a consumer of the indexer's group, which reads its offsets and joins nothing.
        pulse: where it is told.
        clock: ms.
    """

    def __init__(self, connect: Callable[[], Any], pulse: Pulse, clock: Callable[[], int] = now_ms) -> None:
        self._connect, self._pulse, self._clock = connect, pulse, clock
        self._consumer: Any = None
        self._backlog = Backlog()

    def __call__(self) -> None:
        """One look.

        Raises:
            ConnectionError_: the broker is away; the lag is not known then.
        """
        self._pulse.behind, known = None, self._backlog
        try:
            self._consumer = self._consumer or self._connect()
            places = [TopicPartition(ALERTS_TOPIC, n) for n in self._consumer.partitions_for_topic(ALERTS_TOPIC) or ()]
            committed = {place: self._consumer.committed(place) or 0 for place in places}
            ends = self._consumer.end_offsets(places) if places else {}
        except KafkaError as error:
            self._consumer = None
            raise ConnectionError_("kafka", f"does not tell what is indexed ({type(error).__name__})") from error
        self._pulse.behind = known.behind(self._clock(), ends, committed)


def send_finding(sender: AcknowledgedSender, finding: Finding) -> None:
    """Hand a finding to its member's topic.

    Raises:
        ConnectionError_: the broker did not acknowledge it.
    """
    value = finding.model_dump_json().encode()
    sender.send([{"topic": FINDINGS_PREFIX + finding.member, "key": finding.id.encode(), "value": value}])


def hear(desk: MemberDesk, record: TopicRecord) -> None:
    """Take one answer of a member; what is none is told in the log, with its place, and left where it is.

    Raises:
        ConnectionError_: it cannot be kept now, and must be read again.
    """
    member = record.topic.removeprefix(FEEDBACK_PREFIX)
    place = f"{record.topic}/{record.partition}/{record.offset}"
    raw = record.value or b""
    if len(raw) > MAX_ANSWER_BYTES:
        log.warning("dashboard.feedback_refused", place=place, why=f"{len(raw)} bytes; at most {MAX_ANSWER_BYTES}")
        return
    try:
        desk.answer(member, Answer.model_validate_json(raw), f"{member} (feed)")
    except ValidationError as error:
        why = printable(error.errors(include_url=False)[0]["msg"])[:200]
        log.warning("dashboard.feedback_refused", place=place, why=why)
    except Unknown as error:
        log.warning("dashboard.feedback_refused", place=place, why=f"no such finding: {printable(str(error))[:80]}")


def keep_going(name: str, work: Callable[[], None], stop: threading.Event) -> None:
    """Do the work again and again, each few seconds; a failure is logged and the next round tries again."""
    while not stop.wait(ROUND_SECONDS):
        try:
            work()
        except (ConnectionError_, Conflict) as error:
            log.warning("dashboard.round_waits", work=name, why=str(error))
        except Exception:
            log.exception("dashboard.round_failed", work=name)
