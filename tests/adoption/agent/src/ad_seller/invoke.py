"""An entry of the kind that some platforms want: a server in a thread, each request in a loop of its own.

``python -m ad_seller.invoke PORT`` reads requests from standard input, one JSON array [name, arguments] a line, and
writes an answer for each; the server listens on PORT meanwhile. All share one store.
"""

import asyncio
import json
import sys
import threading
import time

import uvicorn

from .api import CALLS, app
from .services import Refused


def serve(port: int) -> None:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    server.install_signal_handlers = lambda: None
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)


async def answer(name: str, arguments: dict) -> dict:
    try:
        return {"status": 200, "body": await CALLS[name](**arguments)}
    except Refused as error:
        return {"status": error.status, "body": {"error": error.error}}


def main() -> None:
    serve(int(sys.argv[1]))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asyncio.run(answer(*json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
