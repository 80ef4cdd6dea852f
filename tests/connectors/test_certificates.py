from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from connectors.certificates import expires
from schemas.errors import ConfigError
from tests.connectors.sources.spooling import tls_files


def test_it_says_what_another_library_says(tmp_path: Path) -> None:
    for path in tls_files(tmp_path):
        expected = x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc
        assert expires(path) == expected
        assert expires(path) > datetime.now(UTC) + timedelta(days=100)


def test_a_file_without_a_certificate_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    with pytest.raises(ConfigError, match="cannot be read"):
        expires(path)
    path.write_text("no certificate", encoding="utf-8")
    with pytest.raises(ConfigError, match="no certificate"):
        expires(path)


@given(st.binary(max_size=200))
def test_a_damaged_certificate_is_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("pem") / "x.pem"
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError):
        expires(path)
