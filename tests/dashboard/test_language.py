"""Both languages say everything, and neither says what the other does not."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from fastapi.testclient import TestClient

from dashboard.language import CHINESE, FOLDER, catalogue, in_language, script_sentences
from dashboard.vocabulary import LABELS
from dashboard.wording import counted, day, duration
from schemas.times import now_ms
from tests.alert_samples import alert_id, stories
from tests.dashboard.index_double import IndexDouble, log_in, open_site

_TEXT = r'"((?:[^"\\]|\\.)*)"'


def said(folder: Path) -> set[str]:
    """Every sentence that templates, scripts and code say."""
    found = set(LABELS.values()) | set(script_sentences()) | {f"{{n}} {unit}" for unit in "dhms"}
    for path in folder.glob("templates/*.html"):
        found |= set(re.findall(rf"(?<!\w)_\({_TEXT}", path.read_text()))
    for path in folder.glob("*.py"):
        code = re.sub(r'"""(.|\n)*?"""', "", path.read_text())
        found |= set(re.findall(rf"\bsay\(\s*{_TEXT}", code))
        found |= {f"{{n}} {noun}" for noun in re.findall(rf"\bcounted\([^\"\n]*, {_TEXT}", code)}
    return found


def test_every_sentence_is_said_in_chinese_too_and_nothing_else_is() -> None:
    assert said(FOLDER) == set(catalogue(CHINESE))


def test_a_translation_fills_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert {e: c for e, c in catalogue(CHINESE).items() if places(e) != places(c)} == {}


def test_no_template_says_a_sentence_past_the_catalogue() -> None:
    for path in FOLDER.glob("templates/*.html"):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.S)
        words = [word.strip() for word in re.findall(r">([^<]+)<", text)]
        plain = [w for w in words if re.search(r"[A-Za-z]{2}", w) and w not in {"Enter", "OpenAPI", "TLP:"}]
        assert plain == [], path.name
        attributes = re.findall(r'(?:aria-label|placeholder|title)="([^"]*)"', text)
        assert [one for one in attributes if re.search(r"[A-Za-z]{2}", one)] == [], path.name


def test_numbers_dates_and_spans_follow_the_language() -> None:
    from zoneinfo import ZoneInfo

    with in_language(CHINESE):
        assert duration(5_460_000) == "1 小時 31 分"
        assert counted(1286, "hit") == "1,286 次命中"
        assert day(1_795_435_200_000, ZoneInfo("Asia/Taipei")) == "11月23日"
    assert duration(5_460_000) == "1 h 31 m"


@pytest.fixture
def analyst(tmp_path: Path) -> TestClient:
    client = open_site(tmp_path, IndexDouble(stories(now_ms())))
    log_in(client, tmp_path)
    return client


def test_the_browsers_language_is_spoken_until_another_is_chosen(analyst: TestClient) -> None:
    taiwan = {"accept-language": "zh-TW,zh;q=0.9,en;q=0.8"}
    page = analyst.get("/", headers=taiwan).text
    assert '<html lang="zh-Hant-TW">' in page
    assert "待辦" in page
    assert analyst.get("/language/en?next=/members").headers["location"] == "/members"
    assert '<html lang="en">' in analyst.get("/", headers=taiwan).text
    assert analyst.get("/language/zh-Hant-TW?next=//evil").headers["location"] == "/"
    assert "負責人" in analyst.get(f"/alerts/{alert_id('ddos')}").text
    assert analyst.get("/language/xx").status_code == 303


def test_no_english_is_left_on_a_chinese_page_but_data(analyst: TestClient) -> None:
    analyst.get("/language/zh-Hant-TW")
    for path in (
        "/",
        f"/alerts/{alert_id('ddos')}",
        "/members",
        "/rules",
        "/operations",
        "/exceptions",
        "/audit",
        "/nowhere",
    ):
        text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", "\n", analyst.get(path).text, flags=re.S)
        left = set(catalogue(CHINESE)) & {line.strip() for line in text.split("\n") if len(line.strip()) > 4}
        assert left == set(), path
