"""A real browser for tests: the machine's own Chromium, installed where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> str:
    """Where Chromium is: JSOC_CHROMIUM, or on the path, or fresh from the distribution if we may install it.

    Skips the test, with the reason, where there is none to be had.
    """
    named = os.environ.get("JSOC_CHROMIUM")
    if named and not Path(named).exists():
        pytest.fail(f"JSOC_CHROMIUM: no such file; got {named}")
    found = named or _on_path() or _installed()
    if not found:
        pytest.skip("no Chromium: install the package `chromium`, or name one in JSOC_CHROMIUM")
    return found


def _on_path() -> str | None:
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def _installed() -> str | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
    ):
        if subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False).returncode != 0:
            return None
    return _on_path()


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A headless Chromium that calls nobody but the pages it is told to open."""
    path = chromium_path()
    expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()
