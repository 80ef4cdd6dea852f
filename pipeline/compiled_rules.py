"""Rule files and folders to compiled detections, by way of the cache of what was compiled before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.detect.compile import Place, Progress, compile_detections, first_of
from pipeline.detect.load import load_documents, rule_files
from pipeline.detect.placeholders import Placeholders, with_lists
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import Taxonomy
from pipeline.rule_cache import RuleCache
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument


class CompiledRules(NamedTuple):
    """What a set of rule files holds."""

    documents: list[RuleDocument]
    """All of them; of a detection that the cache had, only the head."""
    plans: list[DetectionPlan]
    """The detections in the order of their ids."""
    problems: list[RuleError]
    """Rules left out because they cannot be honoured."""


def compile_rules(
    paths: Sequence[Path],
    *,
    placeholders: Placeholders | None = None,
    taxonomy: Taxonomy = "sigma",
    skip_unsupported: bool = False,
    on_progress: Progress | None = None,
    cache: RuleCache | None = None,
) -> CompiledRules:
    """Compile the detections of rule files and folders, with the filters among them.

    Args:
        paths: files and folders.
        placeholders: values for `expand`, instead of or beside those of `*.lists.yaml` files in the folders.
        taxonomy: the field names that events have; rules of Sigma's are mapped for others.
        skip_unsupported: leave out rules that cannot be honoured instead of failing.
        on_progress: told how many documents are compiled, and of how many.
        cache: what was compiled before; what is compiled now is added, and not saved.

    Raises:
        RuleError: the first rule that cannot be honoured, with file, line and reason.
        ConfigError: a path that is not there.
    """
    problems: list[RuleError] = []
    values = with_lists(paths, placeholders)
    known: dict[Place, DetectionPlan] = {}
    if cache is None:
        documents = load_documents(paths, problems=problems if skip_unsupported else None)
    else:
        cache.begin(values, taxonomy)
        documents = _load_cached(paths, cache, known, problems if skip_unsupported else None)
    compiled = compile_detections(
        documents, placeholders=values, taxonomy=taxonomy, on_progress=on_progress, known=known
    )
    if cache is not None:
        cache.keep(documents, known)
    problems += compiled.problems
    if problems and not skip_unsupported:
        raise first_of(problems)
    return CompiledRules(documents, compiled.plans, problems)


def _load_cached(
    paths: Sequence[Path], cache: RuleCache, known: dict[Place, DetectionPlan], problems: list[RuleError] | None
) -> list[RuleDocument]:
    """As `load_documents`, but of files that the cache holds only the heads; their plans are noted in `known`."""
    documents: list[RuleDocument] = []
    for path in rule_files(paths):
        found = cache.find(path)
        if found is None:
            documents += load_documents([path], problems=problems)
            continue
        for document, plan in found:
            documents.append(document)
            known[path, document.line] = plan
    return documents
