from __future__ import annotations

import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path
from textwrap import dedent, indent

import pytest
import yaml
from sigma.processing.pipeline import ProcessingPipeline

from pipeline.detect.compile import compile_detection, compile_detections
from pipeline.detect.evaluate import Detector
from pipeline.detect.load import load_documents
from pipeline.detect.lower import lower_rule
from pipeline.detect.parse import parse_rule
from pipeline.detect.plan import DetectionPlan, LogSource, fields_of
from pipeline.detect.records import read_file
from pipeline.detect.taxonomy import ECS_MARKS, Taxonomy, map_fields
from schemas.errors import RuleError
from schemas.event import Fields
from tests.pipeline.detect.samples import HEAD, document, verdict

SIGMAHQ = Path(__file__).parents[4] / "shared" / "corpora" / "sigmahq"
PROCESS = (
    "title: A\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {product: windows, category: process_creation}\n"
)
MAPPING = yaml.safe_load((files("pipeline.detect") / "taxonomies" / "jointsoc_ecs.yml").read_text("utf-8"))
NAMED_SOURCES = sorted(
    {
        str({name: value for name, value in condition.items() if name != "type"})
        for step in MAPPING["transformations"]
        for condition in step["rule_conditions"]
    }
)
REGISTRY = PROCESS.replace("process_creation", "registry_set")

SYSMON: Fields = {
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "EventID": 1,
    "Image": "C:\\Windows\\System32\\whoami.exe",
    "OriginalFileName": "whoami.exe",
    "CommandLine": "whoami /priv",
    "ParentImage": "C:\\Windows\\System32\\cmd.exe",
    "Hashes": "SHA1=23873BF2670CF64C2440058130548D4E4DA412DD,IMPHASH=7FF0758B766F747CE57DFAC70743FB88",
}
ECS: Fields = {
    "ecs.version": "8.17.0",
    "winlog.channel": "Microsoft-Windows-Sysmon/Operational",
    "event.code": "1",
    "process.executable": "C:\\Windows\\System32\\whoami.exe",
    "process.pe.original_file_name": "whoami.exe",
    "process.command_line": "whoami /priv",
    "process.parent.executable": "C:\\Windows\\System32\\cmd.exe",
    "process.pe.imphash": "7ff0758b766f747ce57dfac70743fb88",
}


def in_taxonomy(taxonomy: Taxonomy, detection: str, head: str = PROCESS) -> DetectionPlan:
    return compile_detection(document(detection, head), {}, taxonomy)


@pytest.mark.parametrize(
    "detection",
    [
        "sel: {Image|endswith: whoami.exe, ParentImage|contains: cmd}\ncondition: sel",
        "sel: {OriginalFileName: whoami.exe}\nnot_us: {CommandLine|contains: /all}\ncondition: sel and not not_us",
        "sel: {Hashes|contains: ['IMPHASH=7FF0758B766F747CE57DFAC70743FB88', 'SHA1=0']}\ncondition: sel".replace(
            "=0'", f"={'0' * 40}'"
        ),
        "sel: {EventID: 1}\ncondition: sel",
        "sel: {Company: null}\ncondition: sel",
        "sel: ['/priv']\ncondition: sel",
    ],
)
def test_a_rule_says_the_same_of_an_event_in_either_taxonomy(detection: str) -> None:
    for taxonomy, events in (("sigma", [SYSMON]), ("ecs", [ECS]), ("both", [SYSMON, ECS])):
        for event in events:
            assert verdict(in_taxonomy(taxonomy, detection), event), (taxonomy, event)  # type: ignore[arg-type]


@pytest.mark.parametrize(("taxonomy", "event"), [("sigma", ECS), ("ecs", SYSMON)])
def test_one_taxonomy_does_not_see_the_other(taxonomy: Taxonomy, event: Fields) -> None:
    assert not verdict(in_taxonomy(taxonomy, "sel: {Image|endswith: whoami.exe}\ncondition: sel"), event)


@pytest.mark.parametrize("event", [SYSMON, ECS])
def test_of_both_an_event_is_asked_for_its_own_names_only(event: Fields) -> None:
    assert not verdict(in_taxonomy("both", "sel: {Image: null}\ncondition: sel"), event)
    assert not verdict(in_taxonomy("both", "sel: {Image|endswith: whoami.exe}\ncondition: not sel"), event)


@pytest.mark.parametrize("mark", ECS_MARKS)
def test_any_mark_of_ecs_is_enough_of_both_taxonomies(mark: str) -> None:
    rule = in_taxonomy("both", "sel: {Image: x}\ncondition: sel")
    assert verdict(rule, {mark: "any", "process.executable": "x"})
    assert not verdict(rule, {mark: "any", "Image": "x"})
    assert verdict(rule, {"event.id": "any", "Image": "x"})


def test_a_rule_that_uses_ecs_names_stays_as_it_is() -> None:
    text = "sel: {process.executable|endswith: whoami.exe, Image: null}\ncondition: sel"
    plans = [in_taxonomy(taxonomy, text, PROCESS + "taxonomy: ecs\n") for taxonomy in ("sigma", "ecs", "both")]
    assert plans[0] == plans[1] == plans[2]
    assert verdict(plans[0], ECS)


def test_a_filter_gets_the_names_of_its_rules(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(PROCESS + "detection:\n  sel: {Image|endswith: whoami.exe}\n  condition: sel\n")
    (tmp_path / "filter.yml").write_text(
        PROCESS.replace("1111-4111", "2222-4111")
        + "filter:\n  rules: any\n  known: {ParentImage|endswith: cmd.exe}\n  condition: not known\n"
    )
    [plan] = compile_detections(load_documents([tmp_path]), taxonomy="ecs").plans
    assert not verdict(plan, ECS)
    assert verdict(plan, ECS | {"process.parent.executable": "C:\\x.exe"})


def test_a_field_with_several_names_is_absent_only_if_all_are() -> None:
    unset = in_taxonomy("ecs", "sel: {Details: null}\ncondition: sel", REGISTRY)
    assert verdict(unset, {"registry.path": "HKLM\\x"})
    assert not verdict(unset, {"registry.data.strings": "x"})
    assert not verdict(unset, {"winlog.event_data.Details": "x"})
    empty = in_taxonomy("ecs", "sel: {Details: ['', null]}\ncondition: sel", REGISTRY)
    assert verdict(empty, {"registry.data.strings": ""})
    assert not verdict(empty, {"registry.data.strings": "x"})
    other = in_taxonomy("ecs", "sel: {Details|neq: x}\ncondition: sel", REGISTRY)
    assert verdict(other, {"registry.data.strings": "y"})
    assert not verdict(other, {"registry.data.strings": "x"})
    present = in_taxonomy("ecs", "sel: {Details|exists: true}\ncondition: sel", REGISTRY)
    assert verdict(present, {"winlog.event_data.Details": "x"})
    assert not verdict(present, {"registry.path": "x"})


@pytest.mark.parametrize("logsource", NAMED_SOURCES)
def test_ecs_names_and_what_the_centre_adds_are_never_renamed(logsource: str) -> None:
    head = f"title: A\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {logsource}\n"
    text = "sel: {organization.id: a, user.hash: b, source.ip: c, '@timestamp': d, event.code: e}\ncondition: sel"
    names = {"organization.id", "user.hash", "source.ip", "@timestamp", "event.code"}
    assert fields_of(in_taxonomy("ecs", text, head).expression) == names


@pytest.mark.parametrize(
    "value",
    [
        "{Hashes|contains: IMPHASH=7FF0758B}",
        "{Hashes|contains: 7FF0758B766F747CE57DFAC70743FB88}",
        "{Hashes|contains: 'SHA384=00'}",
        "{Hashes|contains|all: ['MD5=00000000000000000000000000000000', 'MD5=00000000000000000000000000000001']}",
        "{Hashes|neq: 'MD5=00000000000000000000000000000000'}",
        "{Hashes|re: MD5=0}",
    ],
)
def test_hashes_that_ecs_cannot_express_are_refused(value: str) -> None:
    with pytest.raises(RuleError, match=r"sample\.yml:5: hashes that cannot be told apart"):
        in_taxonomy("ecs", f"sel: {value}\ncondition: sel")


def test_a_processing_pipeline_maps_fields_one_to_many_and_in_references() -> None:
    mapping = ProcessingPipeline.from_yaml(
        """
        name: to ecs
        transformations:
          - id: names
            type: field_name_mapping
            mapping:
              Image: process.executable
              User: [user.name, user.id]
        """
    )
    text = "sel: {Image|endswith: cmd.exe, User: bob}\nref: {Other|fieldref: Image}\ncondition: sel or ref"
    read = document(text, HEAD)
    rule = parse_rule(read)
    map_fields(rule, mapping, read)
    mapped = DetectionPlan("1", "mapped", LogSource(), lower_rule(rule))
    assert verdict(mapped, {"process.executable": "C:\\cmd.exe", "user.id": "bob"})
    assert not verdict(mapped, {"process.executable": "C:\\cmd.exe", "User": "bob"})
    assert verdict(mapped, {"Other": "x", "process.executable": "x"})


def test_the_pipeline_serves_sigma_convert(tmp_path: Path) -> None:
    rule = tmp_path / "rule.yml"
    body = "sel: {Image|endswith: whoami.exe, EventID: 1, Details|contains: x}\ncondition: sel"
    rule.write_text(PROCESS + "detection:\n" + indent(dedent(body), "  ") + "\n")
    sigma = Path(sys.executable).with_name("sigma")
    with as_file(files("pipeline.detect") / "taxonomies" / "jointsoc_ecs.yml") as pipeline:
        ended = subprocess.run(
            [sigma, "convert", "-t", "sqlite", "-p", pipeline, rule], capture_output=True, text=True, timeout=120
        )
    assert ended.returncode == 0, ended.stderr
    assert "process.executable" in ended.stdout
    assert "event.code" in ended.stdout
    assert "winlog.event_data.Details" in ended.stdout


needs_corpus = pytest.mark.skipif(not SIGMAHQ.is_dir(), reason="the SigmaHQ corpus is not beside the project")


@needs_corpus
def test_sigmahqs_rules_have_ecs_names_but_for_a_named_rest() -> None:
    compiled = compile_detections(load_documents(sorted(SIGMAHQ.glob("rules*"))), taxonomy="ecs")
    assert all("has no values" in problem.what for problem in compiled.problems)
    unnamed = {field for plan in compiled.plans for field in fields_of(plan.expression) if "." not in field}
    assert unnamed == {
        *("EventID", "EventLog", "InterfaceUuid", "OpNum"),  # rpc_firewall
        *("ActivityDetails", "Initiatedby", "Target", "TargetResources", "failure_status_reason"),  # Azure
        *("blocked", "cs-cookie", "event_type_id", "eventService"),
    }


@needs_corpus
def test_a_sigmahq_rule_matches_the_same_event_raw_and_in_ecs() -> None:
    folder = SIGMAHQ / "rules" / "windows" / "process_creation"
    compiled = compile_detections(load_documents([folder]), taxonomy="both")
    detector = Detector(compiled.plans)
    raw, ecs = ({compiled.plans[index].title for index in detector.match(event)} for event in (SYSMON, ECS))
    assert raw == ecs
    assert "Security Privileges Enumeration Via Whoami.EXE" in raw


MOVED = {
    "Channel": "winlog.channel",
    "CommandLine": "process.command_line",
    "Company": "process.pe.company",
    "CurrentDirectory": "process.working_directory",
    "Description": "process.pe.description",
    "EventID": "event.code",
    "FileVersion": "process.pe.file_version",
    "Image": "process.executable",
    "OriginalFileName": "process.pe.original_file_name",
    "ParentCommandLine": "process.parent.command_line",
    "ParentImage": "process.parent.executable",
    "Product": "process.pe.product",
    "Provider_Name": "winlog.provider_name",
}
"""Where Winlogbeat puts what Sysmon says of a process start; the rest stays below `winlog.event_data`."""


def as_winlogbeat_has_it(raw: Fields) -> Fields:
    event: Fields = {"ecs.version": "8.17.0"}
    for name, value in raw.items():
        if name == "User" and isinstance(value, str):
            event["user.domain"], _, event["user.name"] = value.partition("\\")
        elif name == "Hashes" and isinstance(value, str):
            for algorithm, _, digest in (part.partition("=") for part in value.split(",")):
                known = "process.pe.imphash" if algorithm == "IMPHASH" else f"process.hash.{algorithm.lower()}"
                event[known] = digest.lower()
        else:
            event[MOVED.get(name, f"winlog.event_data.{name}")] = value
    return event


@needs_corpus
def test_regression_cases_of_process_starts_match_the_same_rules_raw_and_in_ecs() -> None:
    folder = SIGMAHQ / "rules" / "windows" / "process_creation"
    of_sigma, of_ecs, of_both = (
        Detector(compile_detections(load_documents([folder]), taxonomy=taxonomy).plans)
        for taxonomy in ("sigma", "ecs", "both")
    )
    judged = 0
    for path in sorted((SIGMAHQ / "regression_data" / "rules" / "windows" / "process_creation").glob("**/*.json")):
        for record in read_file(path):
            raw = record.fields or {}
            if raw.get("Channel") == "Microsoft-Windows-Sysmon/Operational" and raw.get("EventID") == 1:
                ecs = as_winlogbeat_has_it(raw)
                expected = of_sigma.match(raw)
                assert (of_both.match(raw), of_ecs.match(ecs), of_both.match(ecs)) == (expected,) * 3, path
                judged += bool(expected)
    assert judged > 30
