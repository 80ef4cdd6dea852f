"""Password hashing is slow on purpose; the pages' tests need not wait for it. And a program with a token."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest
from argon2 import PasswordHasher

from dashboard.tokens import Tokens
from tests.running_stack import RunningStack


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hash with the least effort, except where a test asks for the real one."""
    if "real_hashes" not in request.fixturenames:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        monkeypatch.setattr("dashboard.accounts.PasswordHasher", lambda: cheap)


@pytest.fixture
def real_hashes() -> None:
    """Ask for the hashing that production uses."""


@pytest.fixture
def program(stack: RunningStack) -> Iterator[httpx2.Client]:
    """A program with an analyst's token, at the dashboard of the running stack."""
    secret = Tokens(stack.settings.secrets).make("analyst", f"test-{uuid4().hex[:8]}", 1)
    headers = {"authorization": f"Bearer {secret}"}
    with httpx2.Client(base_url=stack.settings.dashboard_url, headers=headers, timeout=30) as client:
        yield client
