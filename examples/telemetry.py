"""Spans of calls, written to the console; an agent sends them to its collector."""

import asyncio

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from ad_seller.storage import Transaction, open_url
from ad_seller.storage.telemetry import instrument


def line(span: ReadableSpan) -> str:
    attributes = {name: value for name, value in (span.attributes or {}).items() if name != "db.operation.name"}
    return f"{span.name}: {attributes}\n"


async def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=line)))
    instrument(kinds=["approval"], tracer_provider=provider)

    async def book(tx: Transaction) -> None:
        await tx.set_deal("D-1", {"status": "booked"})
        await tx.set("approval:D-1", {"by": "jane@acme.example"})

    async with open_url("memory://") as storage:
        await storage.set_quote("qt-1", {"status": "available"})
        await storage.transact(book)
        await storage.get_many(["approval:D-1", "approval:D-2"])


asyncio.run(main())
