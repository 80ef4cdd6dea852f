"""`jsoc user`: who may log in to the dashboard, as what, and which programs act for them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard.accounts import Accounts
from dashboard.rights import ROLES, Role
from dashboard.tokens import Tokens
from deploy.local.settings import load_stack_settings
from schemas.errors import ConfigError, printable

SECRETS = click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    help="The dashboard's secrets folder; default: the one-machine stack's.",
)


@click.group()
def user() -> None:
    """Add, list and remove people of the dashboard, and tokens for programs.

    A running dashboard knows of each change at once.

    \b
    Example:
      jsoc user add mei --role analyst
    """


@user.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--member", default="", help="The institution of a member_viewer, who sees nothing of others.")
@SECRETS
def add(name: str, role: Role, member: str, secrets: Path | None) -> None:
    """Make an account and print its password, once.

    \b
    Example:
      jsoc user add kim --role member_viewer --member kestrel-bank
    """
    click.echo(_accounts(secrets).add(name, role, member))
    click.echo(f"the password of {name} is not kept anywhere: hand it over now", err=True)


@user.command("list")
@SECRETS
def list_users(secrets: Path | None) -> None:
    """List accounts and their tokens.

    \b
    Example:
      jsoc user list
    """
    folder = _folder(secrets)
    table = Table("Name", "Role", "Member", "Tokens", box=None, pad_edge=False)
    tokens = Tokens(folder)
    for account in _accounts(secrets).all():
        own = ", ".join(f"{token.label} (until {_day(token.expires)})" for token in tokens.of(account.name))
        table.add_row(*(Text(printable(cell)) for cell in (account.name, account.role, account.member, own)))
    Console().print(table)


@user.command()
@click.argument("name")
@SECRETS
def remove(name: str, secrets: Path | None) -> None:
    """Take an account away; its sessions and tokens end at once.

    \b
    Example:
      jsoc user remove mei
    """
    _accounts(secrets).remove(name)
    tokens = Tokens(_folder(secrets))
    for token in tokens.of(name):
        tokens.withdraw(name, token.label)


@user.command()
@click.argument("name")
@SECRETS
def password(name: str, secrets: Path | None) -> None:
    """Give an account a new password and print it, once; its sessions end.

    \b
    Example:
      jsoc user password mei
    """
    click.echo(_accounts(secrets).set_password(name))


@user.command()
@click.argument("name")
@click.argument("label")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it lives.")
@click.option("--withdraw", is_flag=True, help="End the token of that label instead.")
@SECRETS
def token(name: str, label: str, days: int, secrets: Path | None, *, withdraw: bool) -> None:
    """Make a token with which a program acts for a user, and print it, once.

    \b
    Example:
      jsoc user token kim ticket-system --days 180
    """
    tokens = Tokens(_folder(secrets))
    if withdraw:
        tokens.withdraw(name, label)
        return
    if _accounts(secrets).find(name) is None:
        raise ConfigError(f"user {name}", "no such user", hint="jsoc user list")
    click.echo(tokens.make(name, label, days))


def _folder(secrets: Path | None) -> Path:
    return secrets or load_stack_settings().secrets


def _accounts(secrets: Path | None) -> Accounts:
    folder = _folder(secrets)
    if not folder.is_dir():
        raise ConfigError(str(folder), "there is no dashboard here yet", hint="jsoc up, or --secrets FOLDER")
    return Accounts(folder)


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
