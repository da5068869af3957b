"""A fresh process: import, connect, first get. Prints the seconds and what it read."""

import time

BEGAN = time.perf_counter()

import asyncio  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

from .contenders import BY_NAME  # noqa: E402


async def main(name: str, place: str, key: str) -> None:
    contender = BY_NAME[name].make(place)
    await contender.open()
    value = await contender.get(key)
    took = time.perf_counter() - BEGAN
    print(json.dumps({"seconds": took, "id": value and value["id"]}))
    await contender.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
