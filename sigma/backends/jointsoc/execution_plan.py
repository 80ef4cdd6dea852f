"""The execution plan of rules: what `jsoc rules build` compiles them to, readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from sigma.collection import SigmaCollection
from sigma.conversion.base import TextQueryBackend
from sigma.exceptions import SigmaError


class JointSocBackend(TextQueryBackend):
    """Not a query language: the plan is data, the same that the centre's workers read from a rule pack.

    The rules are compiled from their files, with the filters and lists beside them, so that what is shown is what
    runs; pySigma's own conversion and its pipelines have no part in it.
    """

    identifier: ClassVar[str] = "jointsoc"
    name: ClassVar[str] = "jointsoc execution plan"
    formats: ClassVar[dict[str, str]] = {"default": "detections and correlations as JSON"}
    requires_pipeline: ClassVar[bool] = False
    correlation_methods: ClassVar[dict[str, str]] = {"default": "event-time windows, exact, in any order of arrival"}

    def convert(
        self,
        rule_collection: SigmaCollection,
        output_format: str | None = None,  # noqa: ARG002 - there is one
        correlation_method: str | None = None,  # noqa: ARG002 - there is one
        callback: Callable[..., Any] | None = None,  # noqa: ARG002 - there are no conditions to convert
    ) -> str:
        """The plan of every rule of the collection.

        Raises:
            SigmaError: a rule that the engine cannot honour, with file, line and reason, or one without a file.
        """
        from pipeline.workbench.plan_document import plan_document
        from schemas.errors import JointSocError

        sources = [rule.source for rule in (*rule_collection.rules, *rule_collection.filters)]
        if not all(sources):
            raise SigmaError("a rule without a file cannot be planned")
        try:
            return plan_document(list(dict.fromkeys(Path(source.path) for source in sources if source)))
        except JointSocError as error:
            raise SigmaError(str(error)) from error
