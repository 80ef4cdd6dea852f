"""Password hashing is slow on purpose; the pages' tests need not wait for it."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hash with the least effort, except where a test asks for the real one."""
    if "real_hashes" not in request.fixturenames:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        monkeypatch.setattr("dashboard.accounts.PasswordHasher", lambda: cheap)


@pytest.fixture
def real_hashes() -> None:
    """Ask for the hashing that production uses."""
