from __future__ import annotations

from deploy.local.certificates import CertificateAuthority
from deploy.local.kafka_broker import _properties, broker_command
from deploy.local.settings import StackSettings


def properties(settings: StackSettings) -> dict[str, str]:
    authority = CertificateAuthority(settings.secrets)
    text = _properties(settings, authority.ensure("broker-1"), authority.certificate_file)
    return dict(line.split("=", 1) for line in text.splitlines())


def test_every_listener_is_on_loopback(settings: StackSettings) -> None:
    listeners = properties(settings)["listeners"].split(",")
    assert len(listeners) == 3
    assert all("//127.0.0.1:" in listener for listener in listeners)


def test_no_listener_is_in_clear_text_and_no_anonymous_user_is_trusted(settings: StackSettings) -> None:
    values = properties(settings)
    assert "PLAINTEXT" not in values["listener.security.protocol.map"]
    assert "ANONYMOUS" not in values["super.users"]
    assert values["allow.everyone.if.no.acl.found"] == "false"
    assert values["auto.create.topics.enable"] == "false"


def test_internal_and_controller_listeners_ask_for_a_client_certificate(settings: StackSettings) -> None:
    values = properties(settings)
    assert values["listener.name.internal.ssl.client.auth"] == "required"
    assert values["listener.name.controller.ssl.client.auth"] == "required"


def test_neither_configuration_nor_command_line_holds_a_password(settings: StackSettings) -> None:
    assert not any("password" in key or "password" in value for key, value in properties(settings).items())
    assert not any("password" in word for word in broker_command(settings, settings.home))
