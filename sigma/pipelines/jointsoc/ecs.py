"""The pipeline for hunting queries over the events that forwarders send."""

from __future__ import annotations

from sigma.processing.pipeline import ProcessingPipeline


def jointsoc_ecs() -> ProcessingPipeline:
    """Sigma's field names to ECS, log sources and values as the indices `events-*` hold them."""
    from pipeline.workbench.hunting import hunting_pipeline

    return hunting_pipeline()
