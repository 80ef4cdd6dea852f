"""How `jsoc alerts` reaches the dashboard: a configuration file, or the one-machine stack and a token of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel

from connectors.alert_api import AlertApi
from connectors.settings import DashboardConnection, load_settings, read_secret
from dashboard.accounts import Accounts, write_secret
from dashboard.tokens import LONGEST_DAYS, Tokens
from deploy.local.settings import StackSettings, load_stack_settings
from schemas.errors import ConfigError

OPERATOR: Final = "operator"
"""Who `jsoc alerts` is, to the audit, where no other token is given."""
LABEL: Final = "jsoc-alerts"


class _Settings(BaseModel):
    """What is read of a configuration file; it may hold more."""

    dashboard: DashboardConnection


def open_api(config: Path | None) -> AlertApi:
    """The interface that a file says, or that of the stack of this machine.

    Raises:
        ConfigError: no such file or stack, or the token file cannot be read.
    """
    if config is not None:
        return AlertApi(load_settings(config, _Settings).dashboard)
    settings = load_stack_settings()
    path = settings.etc / "operator.yml"
    if not path.exists():
        raise ConfigError(str(path), "there is no stack here yet", hint="jsoc up, or --config FILE")
    connection = load_settings(path, _Settings).dashboard
    _ensure_token(settings, connection.token_file)
    return AlertApi(connection)


def _ensure_token(settings: StackSettings, path: Path) -> None:
    """Make a token, and somebody to whom it belongs, where there is none that is good."""
    tokens = Tokens(settings.secrets)
    if path.exists() and tokens.user_of(read_secret(path)):
        return
    if not (settings.secrets / "dashboard-users.yml").exists():
        raise ConfigError(str(settings.secrets), "the dashboard has not been started here yet", hint="jsoc up")
    accounts = Accounts(settings.secrets)
    if accounts.find(OPERATOR) is None:
        accounts.add(OPERATOR, "analyst")
    if any(token.label == LABEL for token in tokens.of(OPERATOR)):
        tokens.withdraw(OPERATOR, LABEL)
    write_secret(path, tokens.make(OPERATOR, LABEL, LONGEST_DAYS) + "\n")
