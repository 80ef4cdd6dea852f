"""The programs' interface, tried by schemathesis with what its own OpenAPI description allows, and what it does not."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from dashboard.api_pages import openapi_of
from dashboard.app import ROUTERS
from dashboard.tokens import Tokens
from schemas.times import now_ms
from tests.alert_samples import stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, open_site


def _operations() -> list[tuple[str, str]]:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    return [(method, path) for path, methods in openapi_of(app)["paths"].items() for method in methods]


EXAMPLES: Final = 12
ELSEWHERE: Final = [ignored_auth, positive_data_acceptance, negative_data_rejection]
"""Checks left out: the first would send the token again where it wants to send none (test_api.py asks as a visitor);
whether an act makes sense now, which decides between 200 and 422, no description can say; and filters that the queue
does not know are left out on purpose, as old bookmarks hold them."""


class Described(NamedTuple):
    """The description, and the headers of a program with a lead's token."""

    calls: schemathesis.BaseSchema
    headers: dict[str, str]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Described:
    folder = tmp_path_factory.mktemp("site")
    client = open_site(folder, IndexDouble(stories(now_ms())), DocumentsDouble())
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {Tokens(folder).make('analyst', 'test', 1)}"}
    return Described(schemathesis.openapi.from_asgi("/api/v1/openapi.json", client.app, headers=headers), headers)


@pytest.mark.parametrize(("method", "path"), _operations())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_call_keeps_to_its_description_whatever_it_is_sent(
    described: Described, method: str, path: str, data: st.DataObject
) -> None:
    mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = data.draw(described.calls[path][method.upper()].as_strategy(generation_mode=mode))
    case.call_and_validate(headers=described.headers, excluded_checks=ELSEWHERE)
