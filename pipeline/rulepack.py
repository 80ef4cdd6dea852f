"""The rule pack: detections, correlations and member registry compiled into one content-addressed file (DESIGN 3.3).

A pack is `jointsoc-pack 1`, a newline, the version, a newline, and msgpack. The version is a hash of that msgpack, so
the same rules and members give the same bytes wherever they are built, and a damaged file is refused. There is no
pickle in it: a pack may come from another machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.compiled_rules import compile_rules
from pipeline.correlate.chaining import referred_by
from pipeline.correlate.federation_block import is_enabled
from pipeline.correlate.rule import Correlation, compile_correlations
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import Taxonomy
from pipeline.rule_cache import RuleCache
from schemas.errors import ConfigError, RuleError
from schemas.member import Member, MemberRegistry
from schemas.rule_document import RuleDocument

MAGIC: Final = b"jointsoc-pack 1\n"
VERSION_BYTES: Final = 16
MAX_PACK_BYTES: Final = 256 * 1024 * 1024


class _Content(msgspec.Struct, frozen=True):
    """What the version is the hash of."""

    detections: list[DetectionPlan]
    correlations: list[Correlation]
    registry: dict[str, Any]


class RulePack:
    """One version of all rules and members.

    Args:
        detections: in the order of their ids; the positions are what `Detector.match` returns.
        correlations: in the order of their ids.
        registry: the members whose groups the correlations count.
        payload: the bytes the content was read from; by default it is encoded now.
    """

    def __init__(
        self,
        detections: Sequence[DetectionPlan],
        correlations: Sequence[Correlation],
        registry: MemberRegistry,
        *,
        payload: bytes | None = None,
    ) -> None:
        self.detections = list(detections)
        self.correlations = list(correlations)
        self._registry = registry
        if payload is None:
            content = _Content(self.detections, self.correlations, registry.model_dump(mode="json"))
            payload = msgspec.msgpack.encode(content, order="sorted")
        self._payload = payload
        self.version = _version_of(self._payload)

    def registry(self) -> MemberRegistry:
        """The member registry this pack was built with."""
        return self._registry

    def members(self) -> tuple[Member, ...]:
        """All members, disabled ones included."""
        return self._registry.members

    def groups(self) -> dict[str, str]:
        """Member id -> corporate group."""
        return self._registry.groups()

    def fingerprints(self) -> dict[str, str]:
        """Correlation id -> fingerprint of what decides when it fires."""
        return {correlation.id: correlation.fingerprint for correlation in self.correlations}

    def to_bytes(self) -> bytes:
        """The pack as it is stored."""
        return MAGIC + self.version.encode() + b"\n" + self._payload

    def write(self, path: Path) -> None:
        """Write the pack, whole or not at all."""
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        with draft.open("wb") as file:
            file.write(self.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def build_pack(
    paths: Sequence[Path],
    registry: MemberRegistry,
    *,
    skip_unsupported: bool = False,
    placeholders: Placeholders | None = None,
    taxonomy: Taxonomy = "both",
    on_progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[RuleError], None] | None = None,
    on_too_few: Callable[[RuleError], None] | None = None,
    cache: RuleCache | None = None,
) -> RulePack:
    """Compile rule files and folders with a member registry; the same rules and members give the same bytes.

    Args:
        paths: files and folders of detections, correlations and filters; disabled correlations are left out.
        registry: the members.
        skip_unsupported: leave out detections and filters that cannot be honoured instead of failing; correlations
            always must be.
        placeholders: values for `expand`, instead of or beside those of `*.lists.yaml` files in the folders.
        taxonomy: the field names that events have; rules of Sigma's are mapped for others.
        on_progress: told how many documents are compiled, and of how many.
        on_problem: told of every rule left out.
        on_too_few: told of each correlation that wants more corporate groups than there are, and is left out until
            there are; without it, that fails the build.
        cache: what was compiled before; what is compiled now is added, and not saved.

    Raises:
        RuleError: the first rule that cannot be honoured, with file, line and reason.
        ConfigError: a path that is not there.
    """
    compiled = compile_rules(
        paths,
        placeholders=placeholders,
        taxonomy=taxonomy,
        skip_unsupported=skip_unsupported,
        on_progress=on_progress,
        cache=cache,
    )
    for problem in compiled.problems:
        if on_problem:
            on_problem(problem)
    documents = [one for one in compiled.documents if one.kind != "correlation" or is_enabled(one)]
    built = compile_correlations(documents, detection_ids(compiled.plans), registry, on_too_few=on_too_few)
    generated = {reference.id for one in built if one.generate for reference in one.references}
    plans = [msgspec.structs.replace(plan, alerts=True) if plan.id in generated else plan for plan in compiled.plans]
    return RulePack(plans, sorted(built, key=lambda correlation: correlation.id), registry)


def check_correlations(
    documents: Sequence[RuleDocument], plans: Sequence[DetectionPlan], registry: MemberRegistry
) -> list[RuleError]:
    """What is wrong with each correlation among the documents, and if nothing is, with all of them together."""
    correlations = [document for document in documents if document.kind == "correlation"]
    problems: list[RuleError] = []
    for one in correlations:
        problem = _refusal(referred_by(one, correlations), plans, registry)
        if problem and str(problem) not in map(str, problems):
            problems.append(problem)
    if not problems and (problem := _refusal(correlations, plans, registry)):
        problems.append(problem)
    return problems


def _refusal(
    correlations: Sequence[RuleDocument], plans: Sequence[DetectionPlan], registry: MemberRegistry
) -> RuleError | None:
    try:
        compile_correlations(correlations, detection_ids(plans), registry)
    except RuleError as problem:
        return problem
    return None


def detection_ids(plans: Sequence[DetectionPlan]) -> dict[str, str]:
    """What a correlation may call a detection by, its id or its name -> its id.

    Raises:
        RuleError: a name that two detections share.
    """
    ids = {plan.id: plan.id for plan in plans}
    for plan in plans:
        if plan.name and ids.setdefault(plan.name, plan.id) != plan.id:
            raise RuleError(
                plan.source, "this name belongs to another rule", got=plan.name, expected="a name of its own"
            )
    return ids


def is_pack(path: Path) -> bool:
    """Whether a file begins as a pack does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_pack(path: Path) -> RulePack:
    """Read a pack back.

    Raises:
        ConfigError: missing, damaged, of another format, or with content this release does not know.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_PACK_BYTES else b""
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the rule pack: {error.strerror}", hint="jsoc rules build") from error
    if not data.startswith(MAGIC):
        raise ConfigError(str(path), "not a rule pack of this release", got=repr(data[:16]), hint="jsoc rules build")
    version, _, payload = data.removeprefix(MAGIC).partition(b"\n")
    if version.decode("ascii", "replace") != _version_of(payload):
        raise ConfigError(str(path), "the rule pack is damaged: its hash does not fit", hint="jsoc rules build")
    try:
        content = msgspec.msgpack.decode(payload, type=_Content)
        registry = MemberRegistry.model_validate(content.registry)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"not a pack of this release: {error}", hint="jsoc rules build") from error
    return RulePack(content.detections, content.correlations, registry, payload=payload)


def _version_of(payload: bytes) -> str:
    return blake2b(payload, digest_size=VERSION_BYTES).hexdigest()
