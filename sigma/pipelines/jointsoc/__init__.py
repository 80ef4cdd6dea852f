"""`sigma convert -p jointsoc_ecs`: rules in Sigma's field names for events in ECS."""

from sigma.pipelines.jointsoc.ecs import jointsoc_ecs

__all__ = ["jointsoc_ecs"]
