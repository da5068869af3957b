"""The limit on Redis: a blocking socket and hiredis, all commands of a batch in one write."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..contender import Arguments, Contender, Row, chunks
from ..data import Value

_SCAN_COUNT = 10_000
_RECEIVE = 1 << 18


class Connection:
    """A pipeline over one socket."""

    def __init__(self, url: str) -> None:
        import hiredis

        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port or 6379), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pack = hiredis.pack_command
        self._reader = hiredis.Reader()
        self.send([("SELECT", address.path.strip("/") or "0")])

    def send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        self._socket.sendall(b"".join(map(self._pack, commands)))
        answers: list[Any] = []
        reader = self._reader
        while len(answers) < len(commands):
            answer = reader.gets()
            while answer is not False:
                if isinstance(answer, Exception):
                    raise answer
                answers.append(answer)
                answer = reader.gets()
            if len(answers) < len(commands):
                reader.feed(self._socket.recv(_RECEIVE))
        return answers

    def close(self) -> None:
        self._socket.close()


def fill_over_socket(url: str, rows: Iterator[Row]) -> None:
    import msgspec

    connection = Connection(url)
    try:
        for chunk in chunks(rows, 1_000):
            connection.send([("SET", key, msgspec.json.encode(value)) for key, value in chunk])
    finally:
        connection.close()


class Socket(Contender):
    batched = True

    async def open(self) -> None:
        import msgspec

        self.connection = Connection(self.place)
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder().decode

    async def close(self) -> None:
        self.connection.close()

    async def fill(self, rows: Iterator[Row]) -> None:
        fill_over_socket(self.place, rows)

    def get_batch(self, batch: list[Arguments]) -> list[Any]:
        texts = self.connection.send([("GET", key) for (key,) in batch])
        return [None if text is None else self.decode(text) for text in texts]

    def set_batch(self, batch: list[Arguments]) -> list[Any]:
        return self.connection.send([self._set(*arguments) for arguments in batch])

    def _set(self, key: str, value: Value, ttl: int | None = None) -> tuple[Any, ...]:
        text = self.encode(value)
        return ("SET", key, text) if ttl is None else ("SET", key, text, "EX", str(ttl))

    def delete_batch(self, batch: list[Arguments]) -> list[bool]:
        return [bool(answer) for answer in self.connection.send([("DEL", key) for (key,) in batch])]

    async def get(self, key: str) -> Value | None:
        value: Value | None = self.get_batch([(key,)])[0]
        return value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        self.set_batch([(key, value, ttl)])

    async def delete(self, key: str) -> bool:
        return self.delete_batch([(key,)])[0]

    async def keys(self, prefix: str) -> list[str]:
        return [name.decode() for name in self._scan(prefix)]

    async def entries(self, prefix: str) -> list[Value]:
        names = self._scan(prefix)
        [texts] = self.connection.send([("MGET", *names)])
        return [self.decode(text) for text in texts if text is not None]

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [value for value in await self.entries(prefix) if value["status"] == status]

    def _scan(self, prefix: str) -> list[bytes]:
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            [(cursor, names)] = self.connection.send(
                [("SCAN", cursor, "MATCH", prefix + "*", "COUNT", str(_SCAN_COUNT))]
            )
            found.update(names)
            if cursor == b"0":
                return sorted(found)
