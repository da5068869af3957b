"""Backends with one defect each: single entries, keys, values, time to live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import unicodedata
from typing import Any

from ad_seller.storage import NotConnectedError, StorageError, check_key, check_ttl, decode, encode
from ad_seller.storage.memory_backend import MemoryBackend

from .bases import SevenBackend, found_by

# --- core ----------------------------------------------------------------------------------------------


@found_by("missing_entry")
class DeleteAlwaysTrue(SevenBackend):
    async def delete(self, key: str) -> bool:
        await super().delete(key)
        return True


@found_by("missing_entry")
class DeleteLeaksKeyError(SevenBackend):
    async def delete(self, key: str) -> bool:
        await self.io()
        del self.entries[check_key(key)]
        return True


@found_by("not_connected_is_an_error")
class SwallowsErrorsOfReads(SevenBackend):
    async def get(self, key: str) -> Any | None:
        try:
            return await super().get(key)
        except NotConnectedError:
            return None


@found_by("bad_value_is_refused_with_its_path")
class SwallowsErrorsOfWrites(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        with contextlib.suppress(StorageError):
            await super().set(key, value, ttl)


@found_by("not_connected_is_an_error")
class LeaksErrorsOfItsDriver(SevenBackend):
    async def io(self) -> None:
        if not self.connected:
            raise AttributeError("'NoneType' object has no attribute 'execute'")
        await asyncio.sleep(0)


@found_by("connect_twice_is_harmless")
class ConnectIsNotReentrant(SevenBackend):
    async def connect(self) -> None:
        self.entries = {}
        await super().connect()


@found_by("reuse_after_reconnect")
class LeavesThreads(SevenBackend):
    async def connect(self) -> None:
        self.stop = threading.Event()
        threading.Thread(target=self.stop.wait, daemon=True).start()
        await super().connect()


@found_by("disconnect_twice_or_first_is_harmless", hangs=True)
class HangsOnDisconnect(SevenBackend):
    async def disconnect(self) -> None:
        if not self.connected:
            await asyncio.Event().wait()  # for the end of a connection that was never opened
        self.connected = False


@found_by("disconnect_waits_for_what_is_under_way")
class DisconnectDropsWrites(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(0.01)
        await super().set(key, value, ttl)


@found_by("key_is_literal")
class FoldsTheCaseOfKeys(SevenBackend):
    async def live(self, key: str) -> tuple[Any, float | None] | None:
        await self.io()
        return next((self.entries[one] for one in self.entries if one.lower() == key.lower()), None)


@found_by("key_is_literal")
class NormalizesKeys(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await super().set(unicodedata.normalize("NFC", key), value, ttl)


@found_by("key_is_literal")
class CutsLongKeys(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await super().set(key[:255], value, ttl)


@found_by("bad_key_is_refused_by_every_operation")
class TakesAnyKey(SevenBackend):
    async def exists(self, key: str) -> bool:
        return await self.live(key) is not None


# --- values --------------------------------------------------------------------------------------------


@found_by("caller_gets_a_copy_of_its_own")
class SharesItsValues(SevenBackend):
    def dump(self, value: Any, key: str) -> Any:
        encode(value, key=key)
        return value

    def load(self, stored: Any, key: str) -> Any:
        return stored


@found_by("value_comes_back_equal_and_of_the_same_type[float with an int's value]")
class TurnsFloatsIntoInts(SevenBackend):
    def load(self, stored: Any, key: str) -> Any:
        value = super().load(stored, key)
        return int(value) if isinstance(value, float) and value.is_integer() else value


@found_by("value_comes_back_equal_and_of_the_same_type[above 64 bit]")
class TurnsLargeIntsIntoFloats(SevenBackend):
    def load(self, stored: Any, key: str) -> Any:
        value = super().load(stored, key)
        return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


@found_by("value_comes_back_equal_and_of_the_same_type[order of names]")
class SortsNames(SevenBackend):
    def dump(self, value: Any, key: str) -> Any:
        return json.dumps(json.loads(encode(value, key=key)), sort_keys=True).encode()


@found_by("value_comes_back_equal_and_of_the_same_type[NUL in a str]")
class StripsNul(SevenBackend):
    def dump(self, value: Any, key: str) -> Any:
        return encode(value, key=key).replace(rb"\u0000", b"")


@found_by("bad_value_is_refused_with_its_path[NaN]")
class AcceptsNaN(SevenBackend):
    def dump(self, value: Any, key: str) -> Any:
        return b"NaN" if value != value else encode(value, key=key)

    def load(self, stored: Any, key: str) -> Any:
        return float("nan") if stored == b"NaN" else super().load(stored, key)


@found_by("bad_value_is_refused_with_its_path[int as a name]")
class AcceptsOtherNames(SevenBackend):
    def dump(self, value: Any, key: str) -> Any:
        try:
            return encode(value, key=key)
        except StorageError:
            return json.dumps(value, allow_nan=False).encode()


@found_by("null_is_a_value_and_not_a_missing_entry")
class TakesNullForMissing(SevenBackend):
    async def exists(self, key: str) -> bool:
        return await self.get(key) is not None


@found_by("keys_from_older_values_do_not_stay")
class MergesValues(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        old = await self.get(key)
        merged = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        await super().set(key, merged, ttl)


@found_by("corrupt_value_is_an_error_that_names_the_key")
class NoneForCorrupt(SevenBackend):
    def load(self, stored: Any, key: str) -> Any:
        try:
            return decode(stored, key=key)
        except StorageError:
            return None


@found_by("corrupt_value_is_an_error_that_names_the_key")
class LeaksErrorsOfItsDecoder(SevenBackend):
    def load(self, stored: Any, key: str) -> Any:
        return json.loads(stored)


# --- time to live --------------------------------------------------------------------------------------


@found_by("expires_never_early_and_hardly_late[0.1]")
class ExpiresLate(SevenBackend):
    def is_live(self, key: str) -> bool:
        _, expires_at = self.entries.get(key, (None, 0.0))
        return expires_at is None or self.now() < expires_at + 60 * (expires_at > 0)


@found_by("expires_never_early_and_hardly_late[1]")
class ExpiresEarly(SevenBackend):
    def is_live(self, key: str) -> bool:
        _, expires_at = self.entries.get(key, (None, 0.0))
        return expires_at is None or self.now() < expires_at - 60


@found_by("expires_never_early_and_hardly_late[0.1]")
class KnowsWholeMinutesOnly(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        ttl_ms = check_ttl(ttl, key=key)
        await super().set(key, value, None if ttl_ms is None else 60 * max(1, ttl_ms // 60_000))


@found_by("gone_for_every_operation[get]")
class ReadsExpired(SevenBackend):
    async def get(self, key: str) -> Any | None:
        await self.io()
        found = self.entries.get(check_key(key))
        return None if found is None else self.load(found[0], key)


@found_by("gone_for_every_operation[exists]")
class SeesExpired(SevenBackend):
    async def exists(self, key: str) -> bool:
        await self.io()
        return check_key(key) in self.entries


@found_by("gone_for_every_operation[delete]")
class DeletesExpired(SevenBackend):
    async def delete(self, key: str) -> bool:
        await self.io()
        return self.entries.pop(check_key(key), None) is not None


@found_by("gone_for_every_operation[count]")
class CountsExpired(SevenBackend):
    async def count(self, pattern: str = "*") -> int:
        return len([key for key in self.entries if key == pattern]) or await super().count(pattern)


@found_by("set_without_ttl_outlives_the_earlier_one")
class KeepsTheOldExpiry(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        _, before = self.entries.get(key, (None, None))
        await super().set(key, value, ttl)
        if ttl is None:
            self.entries[key] = (self.entries[key][0], before)


@found_by("set_with_ttl_starts_anew")
class NeverProlongs(SevenBackend):
    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        _, before = self.entries.get(key, (None, None))
        await super().set(key, value, ttl)
        if before is not None and ttl is not None:
            self.entries[key] = (self.entries[key][0], before)


@found_by("update_keeps_the_expiry_unless_told")
class UpdateForgetsTheExpiry(MemoryBackend):
    async def update(self, key: str, *arguments: Any, **options: Any) -> Any:
        return await super().update(key, *arguments, **{"ttl": None, **options})


@found_by("only_quotes_expire_unless_told")
class KeepsQuotesForEver(SevenBackend):
    async def set_quote(self, quote_id: str, data: Any, ttl: Any = None) -> None:
        await super().set_quote(quote_id, data, ttl)
