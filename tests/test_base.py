"""What the base class gives to a backend of seven methods, whatever its author wrote in it."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from ad_seller.storage import NotConnectedError, StorageBackend, check_key, compile_glob, decode, encode
from ad_seller.storage.atomic.state import deadlines_of
from ad_seller.storage.errors import MissingKeyError, UnsupportedError


class Seven(StorageBackend):
    """The least that is a backend: no ``super().__init__()``, no expiry, answers that come out of order."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.written: list[tuple[str, Any]] = []
        self._rng = random.Random(1)

    async def pause(self) -> None:
        for _ in range(self._rng.randint(0, 5)):
            await asyncio.sleep(0)

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def get(self, key: str) -> Any | None:
        await self.pause()
        text = self.texts.get(check_key(key))
        return None if text is None else decode(text)

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        text = encode(value, key=key)
        await self.pause()
        self.texts[key] = text
        self.written.append((key, value))

    async def delete(self, key: str) -> bool:
        await self.pause()
        return self.texts.pop(key, None) is not None

    async def exists(self, key: str) -> bool:
        await self.pause()
        return key in self.texts

    async def keys(self, pattern: str = "*") -> list[str]:
        await self.pause()
        return sorted(filter(compile_glob(pattern).matches, self.texts))


@pytest.fixture
def backend() -> Seven:
    return Seven()


class TestIterate:
    async def test_all_entries_in_order_page_by_page(self, backend: Seven) -> None:
        for number in range(25):
            await backend.set(f"item:{number:02}", number)
        await backend.set("other", 1)
        for size in (1, 7, 25, 500):
            found = [pair async for pair in backend.iterate("item:*", page_size=size)]
            assert found == [(f"item:{number:02}", number) for number in range(25)]

    async def test_what_is_removed_meanwhile_does_not_come_and_the_rest_does(self, backend: Seven) -> None:
        for number in range(10):
            await backend.set(f"item:{number}", number)
        seen = []
        async for key, _ in backend.iterate("item:*", page_size=2):
            seen.append(key)
            await backend.delete("item:7")
            await backend.set("item:0", "again")
        assert seen == [f"item:{number}" for number in range(10) if number != 7]


class TestFreedomOfTheAuthor:
    async def test_private_names_are_the_authors(self) -> None:
        """Helpers, state and even methods of these names must not change how the base class works."""
        names = (
            "list read write update encode decode commit commits snapshot touch lock locks state session here get"
        )
        names += " set keys key connect connection open close run check apply sweep explain translate history turns"
        names += " listing remaining entries count matches deadlines timeout clock pid loop rollback transaction"

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a private name of the author's was used")

        private = type("Private", (Seven,), {f"_{name}": refuse for name in names.split()})
        backend: StorageBackend = private()
        async with backend:
            await backend.set_many({"deal:1": {"n": 1}, "quote:1": {"status": "open"}}, ttl=60)
            assert await backend.list_deals() == [{"n": 1}]
            assert await backend.list_quotes({"status": "open"}) == [{"status": "open"}]
            assert await backend.update_deal("1", lambda current: {"n": current["n"] + 1}) == {"n": 2}
            assert await backend.increment("counter") == 1
            assert await backend.compare_and_set("counter", 1, 2)
            assert await backend.create("new", 1)
            assert await backend.get_and_delete("new") == 1
            assert await backend.expire("deal:1", 60)
            assert await backend.persist("deal:1")
            assert await backend.ttl("deal:1") is None
            await backend.add_session_to_buyer_index("s", "gold")
            assert await backend.get_buyer_session_ids("gold") == ["s"]
            assert (await backend.scan("deal:*", limit=1)).items == [("deal:1", {"n": 2})]
            assert await backend.delete_many(["deal:1", "quote:1"]) == 2

    @pytest.mark.parametrize(
        ("ttl", "seconds"),
        [
            (timedelta(hours=1), 3600),
            (timedelta(milliseconds=1500), 1.5),
            (60.0, 60),
            (0.25, 0.25),
            (5, 5),
            (None, None),
        ],
    )
    async def test_set_gets_seconds_on_every_path(self, ttl: Any, seconds: float | None) -> None:
        """Its author may know ints only: they are whole where that is exact, whatever the caller gave."""
        given: list[Any] = []

        class Noting(Seven):
            async def set(self, key: str, value: Any, ttl: int | float | timedelta | None = None) -> None:
                given.append(ttl)
                await super().set(key, value, ttl)

        backend = Noting()
        await backend.set("k", {}, ttl)
        await backend.set("k", {}, ttl=ttl)
        await backend.set_session("s", {}, ttl=ttl)
        await backend.set_quote("q", {}, ttl=ttl)
        await backend.set_many({"m": 1}, ttl=ttl)
        await backend.create("c", 1, ttl=ttl)
        await backend.update("u", lambda _: 1, ttl=ttl)
        async with backend.transaction() as tx:
            await tx.set("t", 1, ttl)
        if ttl is not None:
            await backend.expire("k", ttl)
        assert [(type(each), each) for each in given] == [(type(seconds), seconds)] * len(given)
        assert len(given) == (8 if ttl is None else 9)

    async def test_more_parameters(self) -> None:
        class More(Seven):
            async def set(self, key: str, value: Any, ttl: Any = None, *, only_new: bool = False) -> None:
                if not (only_new and key in self.texts):
                    await super().set(key, value, ttl)

            async def delete(self, key: str, *, reason: str = "") -> bool:
                self.reason = reason
                return await super().delete(key)

        backend = More()
        await backend.set("a", 1, only_new=True)
        await backend.set("a", 2, only_new=True)
        assert await backend.get("a") == 1
        assert await backend.delete("a", reason="test")
        assert backend.reason == "test"

    async def test_inherited_method_in_a_task_of_its_own(self) -> None:
        class Patient(Seven):
            async def set(self, key: str, value: Any, ttl: Any = None) -> None:
                await asyncio.wait_for(super().set(key, value, ttl), 5)

            async def delete(self, key: str) -> bool:
                [existed] = await asyncio.gather(super().delete(key))
                return existed

        backend = Patient()
        async with asyncio.timeout(20):
            await asyncio.gather(*(backend.increment("a") for _ in range(10)))
            assert await backend.get("a") == 10
            assert await backend.delete("a")

    async def test_set_that_deletes_and_delete_that_sets(self) -> None:
        class Careful(Seven):
            async def set(self, key: str, value: Any, ttl: Any = None) -> None:
                await self.delete(key)
                await super().set(key, value, ttl)

        async with asyncio.timeout(20):
            backend = Careful()
            assert await backend.update("a", lambda current: 1) == 1
            assert await backend.update("a", lambda current: current + 1) == 2

    def test_abstract_methods_must_be_there(self) -> None:
        incomplete: Any = type("Incomplete", (StorageBackend,), {})
        with pytest.raises(TypeError, match="abstract"):
            incomplete()


class TestAtomicWithinTheProcess:
    async def test_no_update_overwrites_what_it_has_not_seen(self, backend: Seven) -> None:
        async def keep_setting() -> None:
            for n in range(100):
                await backend.set("a", {"n": n})

        async def keep_updating() -> None:
            for _ in range(100):
                await backend.update("a", lambda current: {"after": current})

        await backend.set("a", {"n": -1})
        await asyncio.gather(keep_setting(), keep_updating())
        before: Any = None
        for _, value in backend.written:
            assert "after" not in value or value["after"] == before
            before = value

    async def test_half_done_writes_are_undone(self) -> None:
        class Failing(Seven):
            async def set(self, key: str, value: Any, ttl: Any = None) -> None:
                if value == "fails":
                    raise OSError("disk")
                await super().set(key, value, ttl)

        backend = Failing()
        await backend.set("a", 1)
        with pytest.raises(OSError, match="disk"):
            await backend.update("a", lambda current: "fails")
        assert await backend.get("a") == 1

    async def test_cancelled_update_is_whole_and_frees_the_key(self, backend: Seven) -> None:
        for turn in range(50):
            task = asyncio.ensure_future(backend.update("a", lambda current: (current or 0) + 1))
            for _ in range(turn % 12):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            async with asyncio.timeout(20):
                await backend.set("b", turn)
                await backend.update("a", lambda current: current or 0)


class TestKnownExpiry:
    async def test_of_what_this_instance_wrote(self, backend: Seven) -> None:
        await backend.set("a", 1)
        assert await backend.ttl("a") is None
        await backend.set("a", 1, ttl=60)
        left = await backend.ttl("a")
        assert left is not None
        assert 30 < left <= 60

    async def test_of_what_others_wrote_is_unknown_and_said(self, backend: Seven) -> None:
        backend.texts["a"] = b"1"
        with pytest.raises(UnsupportedError, match="implement ttl"):
            await backend.ttl("a")
        with pytest.raises(MissingKeyError):
            await backend.ttl("missing")

    async def test_memory_of_deadlines_does_not_grow_with_what_is_gone(self, backend: Seven) -> None:
        for n in range(5000):
            await backend.set(f"item:{n}", n, ttl=1)
            await backend.delete(f"item:{n}")
        assert len(deadlines_of(backend).by_key) < 2000


class TestEventLoops:
    def test_state_of_an_ended_loop_does_not_block_the_next(self) -> None:
        backend = Seven()

        async def hang(key: str) -> Any | None:
            return await asyncio.get_running_loop().create_future()

        async def stuck() -> None:
            backend.get = hang  # type: ignore[method-assign]
            update = asyncio.ensure_future(backend.update("a", lambda current: 1))
            await asyncio.sleep(0)
            assert not update.done()

        async def next_loop() -> None:
            del backend.get
            async with asyncio.timeout(20):
                assert await backend.update("a", lambda current: 2) == 2

        asyncio.run(stuck())
        asyncio.run(next_loop())


async def test_error_of_an_unconnected_backend_comes_through() -> None:
    class Closed(Seven):
        async def get(self, key: str) -> Any | None:
            raise NotConnectedError("Storage not connected. Call connect() first.")

    with pytest.raises(NotConnectedError):
        await Closed().update("a", lambda current: 1)
    with pytest.raises(NotConnectedError):
        await Closed().get_many(["a"])
