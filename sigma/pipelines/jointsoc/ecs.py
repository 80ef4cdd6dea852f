"""The pipeline with which the engine itself reads Sigma's field names in ECS events."""

from __future__ import annotations

from sigma.processing.pipeline import ProcessingPipeline


def jointsoc_ecs() -> ProcessingPipeline:
    """Sigma's field names to ECS, for queries over the events that forwarders send."""
    from pipeline.detect.taxonomy import ecs_pipeline

    return ecs_pipeline()
