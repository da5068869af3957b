"""Without await: a flow whose steps run in worker threads, as crewAI's, Django's and Celery's do.

The flow keeps its state in the store, books a quote once however often the step is sent, and may run anywhere: in a
script, in a notebook, in a thread beside a web application's event loop.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ad_seller.storage import InvalidTransitionError
from ad_seller.storage.sync import SyncStorage, SyncTransaction, open_url

Record = dict[str, Any]


def book(storage: SyncStorage, quote_id: str, buyer: str, request_id: str) -> Record:
    """Book a quote for the buyer who asks first; a request that is sent again gets its first answer."""

    def work(tx: SyncTransaction) -> Record:
        quote = tx.get_quote(quote_id)
        if quote is None or quote["status"] != "available":
            return {"booked": False, "by": None if quote is None else quote["buyer_id"]}
        tx.set_quote(quote_id, quote | {"status": "booked", "buyer_id": buyer})
        tx.set_deal(f"DEMO-{request_id}", {"quote_id": quote_id, "buyer_id": buyer})
        return {"booked": True, "by": buyer}

    return storage.run_once("book", request_id, {"quote": quote_id, "buyer": buyer}, work)


def approve(storage: SyncStorage, order_id: str) -> str:
    """Approve an order that nobody else has decided on."""
    try:
        return str(storage.transition_order(order_id, "approved", actor="flow")["status"])
    except InvalidTransitionError as error:
        return f"it is {error.current} already"


def main() -> None:
    with open_url("memory://") as storage, ThreadPoolExecutor(8) as workers:
        storage.set_quote("qt-1", {"status": "available", "buyer_id": None})
        storage.set_order("ORD-1", {"status": "submitted"})

        requests = [(f"buyer-{number % 4}", f"R-{number % 4}") for number in range(8)]  # each is sent twice
        answers = list(workers.map(lambda request: book(storage, "qt-1", *request), requests))
        print("booked:", sum(answer["booked"] for answer in answers[:4]), "deals:", len(storage.list_deals()))
        print("repeats got the first answer:", answers[:4] == answers[4:])

        decisions = sorted(workers.map(lambda _: approve(storage, "ORD-1"), range(3)))
        print("orders:", decisions)

        with storage.lease("nightly:sync", ttl=30) as lease, storage.transaction() as tx:
            tx.hold(lease)  # only who holds the lease may write
            tx.set("last-sync", {"deals": len(tx.list_deals())})
        print("kinds:", sorted({key.partition(":")[0] for key, _ in storage.iterate("*:*")}))


if __name__ == "__main__":
    main()
