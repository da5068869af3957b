"""Backends with one defect each: patterns, listings, batches, records and their indexes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ad_seller.storage import Page, compile_glob
from ad_seller.storage.memory_backend import MemoryBackend

from .bases import SevenBackend, found_by

# --- patterns ------------------------------------------------------------------------------------------


class OwnPatterns(SevenBackend):
    """Matches in a way of its own."""

    def match(self, pattern: str, key: str) -> bool:
        raise NotImplementedError

    async def keys(self, pattern: str = "*") -> list[str]:
        compile_glob(pattern)
        return [key for key in await super().keys() if self.match(pattern, key)]


@found_by("what_other_engines_take_for_wildcards_is_literal")
class LikeInsteadOfGlob(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        like = "".join({"*": ".*", "%": ".*", "?": ".", "_": "."}.get(char, re.escape(char)) for char in pattern)
        return re.fullmatch(like, key, re.DOTALL) is not None


@found_by("pattern_finds[A]")
class IgnoresCase(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        return compile_glob(pattern.lower()).matches(key.lower())


@found_by("pattern_finds[[^a-b]]")
class MatchesLikeTheShell(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        return fnmatch.fnmatchcase(key, pattern)


@found_by("malformed_class_is_literal")
class LeaksErrorsOfItsMatcher(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        return re.fullmatch(pattern.replace("*", ".*").replace("?", "."), key, re.DOTALL) is not None


@found_by("pattern_finds[?]")
class MatchesByByte(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        return compile_glob(pattern.encode().decode("latin-1")).matches(key.encode().decode("latin-1"))


@found_by("pattern_finds[a]")
class MatchesTheBeginning(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        return compile_glob(pattern if pattern == "" else f"{pattern}*").matches(key)


@found_by("no_pattern_takes_long")
class BacktracksForEver(OwnPatterns):
    def match(self, pattern: str, key: str) -> bool:
        if pattern.count("*") < 10:
            return compile_glob(pattern).matches(key)
        steps = min(2 ** pattern.count("*"), 10**7)  # stands for hours, and gives up so that the test ends
        while steps:
            steps -= 1
        raise TimeoutError("still matching")


@found_by("keys_are_sorted_by_code_point")
class SortsByUtf16(SevenBackend):
    async def keys(self, pattern: str = "*") -> list[str]:
        return sorted(await super().keys(pattern), key=lambda key: key.encode("utf-16-be"))


@found_by("keys_are_sorted_by_code_point")
class KeysInTheOrderOfWriting(SevenBackend):
    async def keys(self, pattern: str = "*") -> list[str]:
        found = set(await super().keys(pattern))
        return [key for key in self.entries if key in found]


@found_by("an_entry_from_set_to_delete")
class ListsTwice(SevenBackend):
    async def keys(self, pattern: str = "*") -> list[str]:
        found = await super().keys(pattern)
        return sorted(found * 2)


# --- batches and scan ----------------------------------------------------------------------------------


@found_by("pages_hold_every_entry_once_in_order")
class ScansWithoutOrder(SevenBackend):
    async def scan(self, pattern: str = "*", **options: Any) -> Page:
        page = await super().scan(pattern, **options)
        return Page(page.items[::-1], page.cursor)


@found_by("scan_goes_on_while_others_write")
class CursorSkips(SevenBackend):
    """The cursor is a number of entries: what is deleted before it shifts the rest."""

    async def scan(self, pattern: str = "*", *, limit: Any = None, cursor: Any = None, **options: Any) -> Page:
        everything = (await super().scan(pattern, **options)).items
        start = int(cursor or 0)
        stop = len(everything) if limit is None else start + limit
        return Page(everything[start:stop], str(stop) if stop < len(everything) else None)


@found_by("pages_hold_every_entry_once_in_order")
class CursorRepeats(SevenBackend):
    """The entry that the cursor stands on comes again."""

    async def scan(self, pattern: str = "*", *, limit: Any = None, cursor: Any = None, **options: Any) -> Page:
        everything = (await super().scan(pattern, **options)).items
        items = [item for item in everything if cursor is None or item[0] >= cursor]
        more = limit is not None and len(items) > max(limit, 2)
        return Page(items[: max(limit, 2)] if more else items, items[max(limit, 2) - 1][0] if more else None)


@found_by("page_is_the_values_and_a_cursor")
class CursorWithNothingBehind(SevenBackend):
    async def scan(self, pattern: str = "*", **options: Any) -> Page:
        page = await super().scan(pattern, **options)
        return Page(page.items, page.cursor or "bm90aGluZw")


@found_by("bad_cursor_is_refused")
class TakesAnyCursor(SevenBackend):
    async def scan(self, pattern: str = "*", *, cursor: Any = None, **options: Any) -> Page:
        try:
            return await super().scan(pattern, cursor=cursor, **options)
        except ValueError:
            return await super().scan(pattern, **options)


@found_by("get_many_finds_those_that_are_there")
class InventsEntries(SevenBackend):
    async def get_many(self, keys: Iterable[str], **options: Any) -> dict[str, Any]:
        wanted = list(keys)
        return dict.fromkeys(wanted) | await super().get_many(wanted, **options)


@found_by("delete_many_counts_what_was_there")
class CountsRequestsNotEntries(SevenBackend):
    async def delete_many(self, keys: Iterable[str]) -> int:
        wanted = list(keys)
        await super().delete_many(wanted)
        return len(wanted)


@found_by("one_bad_entry_and_none_is_written")
class WritesUntilTheBadEntry(MemoryBackend):
    async def set_many(self, mapping: Mapping[str, Any], ttl: Any = None) -> None:
        for key, value in mapping.items():
            await self.set(key, value, ttl)


@found_by("batches_are_atomic_where_declared")
class BatchesInParts(MemoryBackend):
    async def set_many(self, mapping: Mapping[str, Any], ttl: Any = None) -> None:
        for key in mapping:
            await super().set_many({key: mapping[key]}, ttl)


# --- records and indexes -------------------------------------------------------------------------------


@found_by("index_keys_are_no_records")
class ListsIndexKeys(SevenBackend):
    async def list_agents(self, **options: Any) -> Any:
        return [value for _, value in (await self.scan("agent*")).items]


@found_by("listing_has_this_kind_only")
class ListsOtherKinds(SevenBackend):
    async def list_deals(self, **options: Any) -> Any:
        return [value for _, value in (await self.scan("*deal:*")).items]


@found_by("falsy_records_are_listed")
class LeavesFalsyRecordsOut(SevenBackend):
    async def list_orders(self, *arguments: Any, **options: Any) -> Any:
        return [value for value in await super().list_orders(*arguments, **options) if value]


@found_by("hostile_records_do_not_match")
class FiltersByText(SevenBackend):
    async def list_orders(self, filters: Any = None, **options: Any) -> Any:
        orders = await super().list_orders(None, **options)
        wanted = (filters or {}).get("status")
        return [
            one
            for one in orders
            if wanted is None or (isinstance(one, dict) and str(wanted) == str(one.get("status")))
        ]


@found_by("no_concurrent_add_is_lost")
class LosesAddsToAnIndex(SevenBackend):
    async def add_session_to_buyer_index(self, session_id: str, pricing_key: str) -> None:
        index = await self.get_buyer_session_ids(pricing_key)
        if session_id not in index:
            await self.set(f"session_index:buyer:{pricing_key}", [*index, session_id])


@found_by("buyer_index_keeps_the_order_and_each_id_once")
class IndexHoldsAnIdTwice(SevenBackend):
    async def add_session_to_buyer_index(self, session_id: str, pricing_key: str) -> None:
        await self.update(f"session_index:buyer:{pricing_key}", lambda ids: [*(ids or []), session_id])


# --- searches ------------------------------------------------------------------------------------------


@found_by("reverse_pages_begin_with_the_greatest_key")
class ScansForwardsOnly(SevenBackend):
    async def scan(self, pattern: str = "*", *, reverse: bool = False, **options: Any) -> Page:
        return await super().scan(pattern, **options)


@found_by("pages_of_find_hold_each_record_once_in_order")
class FindsForwardsOnly(SevenBackend):
    async def find(self, pattern: str, where: Any, *, reverse: bool = False, **options: Any) -> Page:
        return await super().find(pattern, where, **options)


@found_by("pages_of_find_hold_each_record_once_in_order")
class LimitsWhatItLooksAt(SevenBackend):
    """Looks at so many records, and returns those of them that match."""

    async def find(self, pattern: str, where: Any, *, limit: Any = None, **options: Any) -> Page:
        page = await super().find(pattern, {}, limit=limit, **options)
        return Page([item for item in page.items if item[1].get("s") == where.get("s")], page.cursor)


@found_by("find_compares_as_python_does")
class FindsByText(SevenBackend):
    async def find(self, pattern: str, where: Any, **options: Any) -> Page:
        page = await super().find(pattern, {}, **options)
        records = [item for item in page.items if isinstance(item[1], dict)]
        return Page([one for one in records if all(str(one[1].get(f)) == str(v) for f, v in where.items())], None)


@found_by("find_by_kind_prefix_and_pattern")
class FindsOtherKinds(SevenBackend):
    async def find(self, pattern: str, where: Any, **options: Any) -> Page:
        return await super().find(f"{pattern}*", where, **options)


@found_by("cursor_of_another_search_is_refused")
class TakesCursorsOfOtherSearches(SevenBackend):
    async def find(self, pattern: str, where: Any, *, cursor: Any = None, **options: Any) -> Page:
        try:
            return await super().find(pattern, where, cursor=cursor, **options)
        except ValueError:
            return await super().find(pattern, where, **options)


@found_by("what_cannot_be_found_is_refused")
class FindsAllWhereNothingIsAsked(SevenBackend):
    async def find(self, pattern: str, where: Any, **options: Any) -> Page:
        return await super().find(pattern, {k: v for k, v in dict(where or {}).items() if v is not None}, **options)


@found_by("listing_has_a_first_and_a_last")
class ListsTheFirstForTheLast(SevenBackend):
    async def list_deals(self, *, limit: Any = None, reverse: bool = False, **options: Any) -> Any:
        found = await super().list_deals(limit=limit, **options)
        return found[::-1] if reverse else found


# --- listings that are cut off ---------------------------------------------------------------------------


@found_by("no_listing_stops_at_a_round_number")
class KeysStopAtAThousand(SevenBackend):
    async def keys(self, pattern: str = "*") -> list[str]:
        return (await super().keys(pattern))[:1000]


@found_by("no_listing_stops_at_a_round_number")
class CountStopsAt1024(MemoryBackend):
    async def count(self, pattern: str = "*") -> int:
        return min(await super().count(pattern), 1024)


@found_by("no_listing_stops_at_a_round_number")
class ScanStopsAtAThousand(MemoryBackend):
    async def scan(self, *args: Any, **kwargs: Any) -> Page:
        page = await super().scan(*args, **kwargs)
        return page if len(page.items) <= 1000 else Page(page.items[:1000], None)
