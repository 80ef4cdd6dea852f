"""`jsoc member`: add, list and remove institutions."""

from __future__ import annotations

import json
from typing import Literal, get_args

import click
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from deploy.local.configuration import registry_of
from deploy.local.kafka_access import kafka_connection, password_file
from deploy.local.members import add_member, remove_member
from deploy.local.settings import StackSettings, load_stack_settings
from pipeline.cli.progress import results, shown
from schemas.errors import ConfigError
from schemas.member import Member

Kind = Literal["bank", "securities", "insurer", "payments", "other"]


@click.group()
def member() -> None:
    """Add, list and remove institutions of the one-machine stack.

    \b
    Example:
      jsoc member add kestrel-bank --name "Kestrel Bank" --kind bank
    """


@member.command()
@click.argument("member_id", metavar="ID")
@click.option("--name", required=True, help="The institution's name, for people.")
@click.option("--kind", type=click.Choice(get_args(Kind)), default="other", show_default=True)
@click.option("--group", default="", help="Corporate group that counts once.  [default: the member itself]")
def add(member_id: str, name: str, kind: Kind, group: str) -> None:
    """Register an institution: its topic, its password, its right to write there and nowhere else.

    With the stack running, the Flink job learns of it within seconds, without a restart. With the stack down, the next
    `jsoc up` sees to all that.

    \b
    Example:
      jsoc member add heron-life --name "Heron Life" --kind insurer --group heron
    """
    settings = load_stack_settings()
    try:
        new = Member(id=member_id, name=name, kind=kind, group=group)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"member {first['loc'][0]}", first["msg"], got=first.get("input")) from error
    with shown(Console(stderr=True)) as observe:
        add_member(settings, new, observe)
    click.echo(_snippet(settings, new), nl=False)


@member.command("list")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_all(form: str) -> None:
    """List the institutions.

    \b
    Example:
      jsoc member list --format json
    """
    settings = load_stack_settings()
    members = registry_of(settings).members
    if form == "json":
        click.echo(json.dumps([each.model_dump(mode="json") for each in members], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("id", "name", "kind", "group", "topic", "password file"):
        table.add_column(heading, overflow="fold")
    for each in members:
        group = each.group or each.id
        table.add_row(each.id, each.name, each.kind, group, each.topic, str(password_file(settings, each.id)))
    results().print(table)


@member.command()
@click.argument("member_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(member_id: str, *, yes: bool) -> None:
    """Take an institution out: its password ends at once; its topic and events stay.

    \b
    Example:
      jsoc member remove heron-life
    """
    if not yes:
        click.confirm(f"End the access of {member_id}?", abort=True, err=True)
    console = Console(stderr=True)
    with shown(console) as observe:
        gone = remove_member(load_stack_settings(), member_id, observe)
    console.print(f"removed {gone.id}; {gone.topic} stays", highlight=False, markup=False)


def _snippet(settings: StackSettings, new: Member) -> str:
    """The Kafka part of that member's forwarder.yml."""
    connection = kafka_connection(settings, new.id).model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump({"member": new.id, "kafka": connection}, sort_keys=False)
    return f"# forwarder.yml of {new.id}: where its events go. Give it the password file, by a safe way.\n{text}"
