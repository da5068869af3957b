"""Retention in an agent: a task beside its work. Any number of processes may have one, one at a time does it."""

import asyncio

from ad_seller.storage import open_url
from ad_seller.storage.operations import RetentionRule, apply_retention, retain

DAY = 86_400

RULES = [
    RetentionRule(
        "finished orders",
        "order:",
        since="audit_log.transitions.-1.timestamp",
        older_than=400 * DAY,
        where={"status": ("completed", "cancelled")},
    ),
    RetentionRule("negotiations", "negotiation:", since="started_at", keep_newest=10_000, minimum_age=30 * DAY),
    RetentionRule("events", log="event", by=("session_id",), older_than=90 * DAY),
]


async def main() -> None:
    async with open_url("sqlite:///./retention.db") as storage:
        await storage.set_order(
            "ORD-1",
            {"status": "completed", "audit_log": {"transitions": [{"timestamp": "2001-01-01T00:00:00Z"}]}},
        )
        async for done in apply_retention(storage, RULES, dry_run=True):
            print(done.rule, done.due, done.oldest)
        task = asyncio.create_task(retain(storage, RULES, every=3600))
        await asyncio.sleep(1)  # the agent works
        task.cancel()


asyncio.run(main())
