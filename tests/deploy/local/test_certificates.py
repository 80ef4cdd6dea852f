from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local import certificates
from deploy.local.certificates import CertificateAuthority


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """A TLS handshake in memory; raises what the client would see."""
    a_in, a_out, b_in, b_out = (ssl.MemoryBIO() for _ in range(4))
    left = client.wrap_bio(a_in, a_out, server_hostname=host)
    right = server.wrap_bio(b_in, b_out, server_side=True)
    for _ in range(10):
        done = 0
        for side in (left, right):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
            b_in.write(a_out.read())
            a_in.write(b_out.read())
        if done == 2:
            return
    raise AssertionError("no handshake")


def server_context(authority: CertificateAuthority, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.ensure(name))
    context.load_verify_locations(authority.certificate_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(authority: CertificateAuthority, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    context.load_cert_chain(authority.ensure(name))
    return context


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_both_sides_trust_certificates_of_the_same_authority(tmp_path: Path, host: str) -> None:
    authority = CertificateAuthority(tmp_path)
    handshake(server_context(authority, "broker-1"), client_context(authority, "admin"), host)


def test_another_authoritys_server_is_refused(tmp_path: Path) -> None:
    ours, theirs = CertificateAuthority(tmp_path / "a"), CertificateAuthority(tmp_path / "b")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(theirs, "broker-1"), client_context(ours, "admin"), "127.0.0.1")


def test_another_host_name_is_refused(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server_context(authority, "broker-1"), client_context(authority, "admin"), "example.test")


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "s")
    for path in (authority.ensure("broker-1"), tmp_path / "s" / "ca.key"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_good_certificate_is_kept_and_one_that_expires_soon_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(tmp_path)
    monkeypatch.setattr(certificates, "_LIFE", timedelta(days=10))
    soon = authority.ensure("node").read_bytes()
    monkeypatch.undo()
    renewed = authority.ensure("node").read_bytes()
    assert renewed != soon
    assert CertificateAuthority(tmp_path).ensure("node").read_bytes() == renewed


def test_a_damaged_certificate_is_replaced(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    path = authority.ensure("node")
    path.write_bytes(b"nonsense")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(authority.ensure("node"))
