"""The command views: what Datasette, pgweb, Metabase and Grafana read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ad_seller.storage import operations

from .output import Output
from .running import Choices, Exit, open_whole, with_choices

commands = typer.Typer()


class Action(StrEnum):
    """What is done."""

    show = "print"
    create = "create"
    drop = "drop"


@commands.command()
@with_choices
async def views(
    chosen: Choices,
    out: Output,
    action: Annotated[
        Action, typer.Argument(metavar="[print|create|drop]", help="print shows the SQL and changes nothing.")
    ] = Action.show,
) -> int:
    """Make SQL views of the records for dashboards, on SQLite and PostgreSQL: seller_orders, seller_deals, ….

    Live entries only. Nothing that is stored makes a view fail: what cannot be read is NULL. create also renews
    those that are there; drop removes them and nothing else.
    """
    store = open_whole(chosen, create=False)
    if action is Action.show:
        statements = operations.view_statements(store)
        if out.as_json:
            out.json(statements)
        else:
            out.text(";\n\n".join(statements) + ";")
        return Exit.OK
    async with store:
        names = await (operations.create_views if action is Action.create else operations.drop_views)(store)
    if out.as_json:
        out.json(names)
    else:
        for name in names:
            out.text(name)
        out.note(f"{len(names)} views {'are there' if action is Action.create else 'were removed'}")
    return Exit.OK
