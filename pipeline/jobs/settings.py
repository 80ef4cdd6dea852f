"""Configuration of the Flink job: where it reads, with which pack, how patient it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from connectors.settings import KafkaConnection

ALERTS, DEAD_LETTERS, HEALTH = "alerts", "dead-letters", "health"
"""The topics the job writes (DESIGN 3.1)."""


class JobSettings(BaseModel):
    """`job.yml`."""

    model_config = ConfigDict(extra="forbid")

    kafka: KafkaConnection
    pack: Path
    topic_pattern: str = r"events\..*"
    group: str = "pipeline"
    transactional_id_prefix: str = "pipeline"
    parallelism: int = Field(default=1, ge=1)
    lateness_seconds: int = Field(default=3600, ge=0, description="how late an event may come and still be correlated")
    discovery_seconds: int = Field(default=3, ge=1, description="how often new members' topics are looked for")
    bundle_ms: int = Field(default=200, ge=10, description="how long records wait to be handled together")
    bundle_rows: int = Field(default=5_000, ge=1, description="how many records are handled together, at most")

    @property
    def lateness(self) -> int:
        """Lateness in ms."""
        return self.lateness_seconds * 1000
