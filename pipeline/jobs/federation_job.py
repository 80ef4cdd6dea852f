"""The Flink job: Kafka source -> detect (Arrow UDF) -> messages per shard -> keyed correlation -> Kafka.

Wiring only. What is decided about a record stands in `detect_stage`, about a hit in `keyed_stage`; both run without
Flink. Started by `flink run -py federation_job.py --config job.yml`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import structlog
from pyflink.common import Configuration, Row, Types
from pyflink.datastream import DataStream, KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.table import DataTypes, Schema, StreamTableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from connectors.settings import load_settings
from pipeline.jobs.active_pack import PackFile
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.keyed_stage import METRICS, KeyedStage
from pipeline.jobs.message import address_of, encode
from pipeline.jobs.settings import ALERTS, DEAD_LETTERS, HEALTH, JobSettings
from pipeline.jobs.state import KeyedState

JOB_NAME = "jointsoc"
MAX_PARALLELISM = 128
OUTPUT_TOPICS = (ALERTS, DEAD_LETTERS, HEALTH)
ACCOUNT_INTERVAL_MS = 2_000
POLL_RECORDS = 20
FETCH_BYTES = 128 * 1024
"""What one read brings at most; the bytes are a partition's, compressed. Three reads wait in the heap (decision 84)."""


def log_through_flink() -> None:
    """Send log lines to the TaskManager's log: PyFlink replaces `print` in workers by one that structlog cannot use."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


class Detect(ScalarFunction):  # type: ignore[misc]
    """The detect stage as a vectorised function: an Arrow batch in; all of its messages in the first row."""

    def __init__(self, pack: Path, lateness: int) -> None:
        self._pack = pack
        self._lateness = lateness
        self._stage: DetectStage | None = None

    def open(self, function_context: FunctionContext) -> None:
        """Load the pack in the worker."""
        log_through_flink()
        packs = PackFile(self._pack, "detect", function_context.get_index_of_this_subtask())
        self._stage = DetectStage(packs, self._lateness)

    def eval(
        self,
        value: pd.Series[Any],
        topic: pd.Series[Any],
        partition: pd.Series[Any],
        offset: pd.Series[Any],
        append_time: pd.Series[Any],
        tick: pd.Series[Any],
    ) -> pd.Series[Any]:
        """Six columns of equal length in, one column of message lists out."""
        assert self._stage is not None
        times = append_time.astype("datetime64[ms]").astype("int64")
        # Lists: a column is slow to walk.
        columns = [column.tolist() for column in (value, topic, partition, offset, times, tick)]
        messages = self._stage.process(map(Record._make, zip(*columns, strict=True)))
        out: list[list[bytes] | None] = [None] * len(value)
        if out:
            out[0] = [encode(message) for message in messages]
        return pd.Series(out, dtype=object)


class Correlate(KeyedProcessFunction):  # type: ignore[misc]
    """The keyed stage as a Flink operator: state of the current key in RocksDB, decisions elsewhere."""

    def __init__(self, pack: Path, lateness: int) -> None:
        self._pack = pack
        self._lateness = lateness
        self._stage: KeyedStage | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Load the pack and name the state."""
        log_through_flink()
        raw = Types.PRIMITIVE_ARRAY(Types.BYTE())
        groups = runtime_context.get_map_state(MapStateDescriptor("groups", Types.STRING(), raw))
        summary = runtime_context.get_state(ValueStateDescriptor("summary", raw))
        packs = PackFile(self._pack, "correlate", runtime_context.get_index_of_this_subtask())
        self._stage = KeyedStage(packs, self._lateness, _FlinkState(groups, summary))
        metrics = runtime_context.get_metrics_group().add_group(JOB_NAME)
        for name in METRICS:
            metrics.gauge(name, partial(self._stage.metric, name))

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """One message; yields (topic, key, value)."""
        assert self._stage is not None
        passings, report = self._stage.process(ctx.get_current_key(), bytes(value[0]))
        if report:
            timer = ctx.timer_service()
            now = timer.current_processing_time()
            timer.register_processing_time_timer((now // ACCOUNT_INTERVAL_MS + 1) * ACCOUNT_INTERVAL_MS)
        for passing in passings:
            yield Row(passing.topic, passing.key, passing.value)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Publish the account of the current partition or shard."""
        assert self._stage is not None
        for passing in self._stage.report(ctx.get_current_key(), timestamp):
            yield Row(passing.topic, passing.key, passing.value)


class _FlinkState(KeyedState):
    """The current key's state."""

    def __init__(self, groups: Any, summary: Any) -> None:
        self._groups = groups
        self._summary = summary

    def get(self, key: bytes) -> bytes | None:
        value = self._groups.get(key.hex())
        return None if value is None else bytes(value)

    def put(self, key: bytes, value: bytes) -> None:
        self._groups.put(key.hex(), value)

    def delete(self, key: bytes) -> None:
        self._groups.remove(key.hex())

    def summary(self) -> bytes | None:
        value = self._summary.value()
        return None if value is None else bytes(value)

    def set_summary(self, value: bytes) -> None:
        self._summary.update(value)


def build(settings: JobSettings) -> StreamExecutionEnvironment:
    """The whole job, ready to execute."""
    env = StreamExecutionEnvironment.get_execution_environment(_configuration(settings))
    env.set_parallelism(settings.parallelism)
    env.set_max_parallelism(MAX_PARALLELISM)
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(_source_sql(settings))
    tables.execute_sql(_sink_sql(settings))
    columns = [DataTypes.BYTES(), DataTypes.STRING(), DataTypes.INT(), DataTypes.BIGINT()]
    columns += [DataTypes.TIMESTAMP(3), DataTypes.BOOLEAN()]
    detect = udf(
        Detect(settings.pack, settings.lateness),
        input_types=columns,
        result_type=DataTypes.ARRAY(DataTypes.BYTES()),
        func_type="pandas",
    )
    tables.create_temporary_function("detect", detect)
    messages = tables.to_data_stream(tables.sql_query(_DETECT_SQL))
    alerts = _correlate(messages, settings)
    schema = Schema.new_builder().column("topic", "STRING").column("k", "STRING").column("v", "BYTES").build()
    statements = tables.create_statement_set()
    statements.add_insert("outputs", tables.from_data_stream(alerts, schema))
    statements.attach_as_datastream()
    return env


def _correlate(messages: DataStream, settings: JobSettings) -> DataStream:
    raw = Types.PRIMITIVE_ARRAY(Types.BYTE())
    out = Types.ROW_NAMED(["topic", "k", "v"], [Types.STRING(), Types.STRING(), raw])
    return (
        messages.key_by(lambda row: address_of(bytes(row[0])), key_type=Types.STRING())
        .process(Correlate(settings.pack, settings.lateness), output_type=out)
        .uid("correlate")
        .name("correlate")
    )


_DETECT_SQL = """
SELECT message FROM (
  SELECT detect(`value`, `topic`, `partition`, `offset`, `append_time`, `tick`) AS messages FROM (
    SELECT `value`, `topic`, `partition`, `offset`, CAST(`timestamp` AS TIMESTAMP(3)) AS `append_time`,
      `headers`['tick'] IS NOT NULL AS `tick`
    FROM records))
CROSS JOIN UNNEST(messages) AS exploded (message)
"""


def _source_sql(settings: JobSettings) -> str:
    return f"""
CREATE TABLE records (
  `value` BYTES,
  `topic` STRING METADATA VIRTUAL, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
  `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL, `headers` MAP<STRING, BYTES> METADATA VIRTUAL
) WITH (
  'connector' = 'kafka', 'format' = 'raw', 'topic-pattern' = '{_quoted(settings.topic_pattern)}',
  'properties.group.id' = '{_quoted(settings.group)}',
  'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'earliest',
  'scan.topic-partition-discovery.interval' = '{settings.discovery_seconds}s',
  'properties.max.poll.records' = '{POLL_RECORDS}', 'properties.max.partition.fetch.bytes' = '{FETCH_BYTES}',
  {_kafka_properties(settings)}
)"""


def _sink_sql(settings: JobSettings) -> str:
    return f"""
CREATE TABLE outputs (
  `topic` STRING NOT NULL METADATA, `k` STRING, `v` BYTES
) WITH (
  'connector' = 'kafka', 'topic' = '{";".join(OUTPUT_TOPICS)}',
  'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '{_quoted(settings.transactional_id_prefix)}',
  'properties.transaction.timeout.ms' = '600000',
  'properties.compression.type' = 'lz4', 'properties.max.request.size' = '8388608',
  {_kafka_properties(settings)}
)"""


def _kafka_properties(settings: JobSettings) -> str:
    kafka = settings.kafka
    module = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule"
    password = kafka.password()
    properties = {
        "bootstrap.servers": ",".join(kafka.bootstrap_servers),
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.jaas.config": f'{module} required username="{kafka.username}" password="{password}";',
    }
    if kafka.ca_file is not None:
        properties |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(kafka.ca_file)}
    return ",\n  ".join(f"'properties.{name}' = '{_quoted(value)}'" for name, value in properties.items())


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _configuration(settings: JobSettings) -> Configuration:
    configuration = Configuration()
    for name, value in {
        "pipeline.name": JOB_NAME,
        "pipeline.max-parallelism": str(MAX_PARALLELISM),
        "table.local-time-zone": "UTC",
        "table.exec.uid.generation": "ALWAYS",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # A process for each stage: when stages that share one fail at once, the TaskManager ends (decision 82).
        "python.fn-execution.memory.managed": "false",
        # A bundle's results wait in the heap until it is done: it is one Arrow batch, and no larger.
        "python.fn-execution.bundle.size": str(settings.bundle_rows),
        "python.fn-execution.bundle.time": str(settings.bundle_ms),
        "python.fn-execution.arrow.batch.size": str(settings.bundle_rows),
    }.items():
        configuration.set_string(name, value)
    return configuration


def main() -> None:
    """Build the job from `--config` and submit it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    settings = load_settings(parser.parse_args().config, JobSettings)
    build(settings).execute_async(JOB_NAME)


if __name__ == "__main__":
    main()
