"""The listing index: the names of all entries of a key prefix, in order, in one sorted set beside them.

Our writes keep it in the same script. It may hold names that live no more (an expiry, the DEL of another program):
whoever lists looks whether each is there. What it must not do is miss one, and `tracker` sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

from redis.exceptions import NoScriptError

from ..concurrency.timeslice import TimeSlice
from ..driver.query import KeyQuery
from ..records.globs import Glob, escape, successor
from ..records.keys import MAX_KEY_BYTES, check_key
from .connection import Command, RedisConnection
from .pool import NodePool
from .scripts import Argument, Script
from .surveys import IS_RIGHT, survey

#: Names of a listing that are looked at in one moment, by one script (contract, section 5).
MOMENT: Final = 10_000

#: Names of one script otherwise: the server does nothing else meanwhile; Lua takes no more arguments than 8,000.
PART: Final = 2_000

#: Bytes of texts that belong to one moment, and of one part after it: so much the server keeps for one answer.
MOMENT_BYTES: Final = 16 * 1024 * 1024
PART_BYTES: Final = 8_000_000

#: The lower bound of all names, behind the generations.
FIRST_NAME: Final = b"[\1"

_SCAN_COUNT = 10_000  #: keys that one SCAN looks at: few round trips, and at most a few ms of the server's time

#: What a listing asks for: names that live, their number, or all names, of which some may live no more.
Mode = Literal["living", "count", "names"]


def index_name(prefix: str) -> str:
    """Return the name of the index; no entry has it, because keys hold no NUL."""
    return f"{prefix}\0index"


#: Reads names between two bounds, the greatest first if ARGV[4] is 1.
_RANGE: Final = """
local function range(lower, upper, many)
  if ARGV[4] == '1' then return redis.call('ZREVRANGEBYLEX', KEYS[1], upper, lower, 'LIMIT', 0, many) end
  return redis.call('ZRANGEBYLEX', KEYS[1], lower, upper, 'LIMIT', 0, many)
end
"""

#: A part of a listing. KEYS: the index. ARGV: the generation of who asks; the bounds, as ZRANGEBYLEX takes them; 1
#: for the reverse order, else 0; names at most; the mode; what `IS_RIGHT` gets. Answers nil if the index is not
#: right, else the name after which the next part begins (empty: there is none), and the names with NUL between
#: them, or their number.
LIST: Final = Script(
    _RANGE
    + IS_RIGHT
    + r"""
if not is_right() then return false end
local most, mode = tonumber(ARGV[5]), ARGV[6]
local names = range(ARGV[2], ARGV[3], most + 1)
local last = ''
if #names > most then
  names[#names] = nil
  last = names[#names]
end
if mode ~= 'names' then
  local count = 0
  for first = 1, #names, 5000 do
    count = count + redis.call('EXISTS', unpack(names, first, math.min(first + 4999, #names)))
  end
  if mode == 'count' then return {last, count} end
  if count < #names then
    local living = {}
    for _, name in ipairs(names) do
      if redis.call('EXISTS', name) == 1 then living[#living + 1] = name end
    end
    names = living
  end
end
return {last, table.concat(names, '\0')}
"""
)

#: A part of a listing with the texts. KEYS: the index. ARGV: generation, bounds and order, as for `LIST`; entries
#: at most; about how many bytes of text; what `IS_RIGHT` gets. Answers nil as `LIST` does, else the name after
#: which the next part begins (empty: there is none), the names that have a text, with NUL between them, and the
#: texts.
ENTRIES: Final = Script(
    _RANGE
    + IS_RIGHT
    + r"""
if not is_right() then return false end
local lower, upper, most, bytes, limit = ARGV[2], ARGV[3], tonumber(ARGV[5]), 0, tonumber(ARGV[6])
local found, texts, looked, last, many = {}, {}, 0, '', 16
while #found < most and bytes < limit and looked < 10001 do
  many = math.min(many, most - #found, 10001 - looked)
  local names = range(lower, upper, many)
  if #names > 0 then
    for i, text in ipairs(redis.call('MGET', unpack(names))) do
      if text then
        found[#found + 1] = names[i]
        texts[#texts + 1] = text
        bytes = bytes + #text
      end
    end
  end
  looked = looked + #names
  if #names < many then return {'', table.concat(found, '\0'), texts} end
  last = names[#names]
  if ARGV[4] == '1' then upper = '(' .. last else lower = '(' .. last end
  many = math.max(1, math.min(1000, math.floor((limit - bytes) * looked / (bytes + 1))))
end
if #range(lower, upper, 1) == 0 then last = '' end
return {last, table.concat(found, '\0'), texts}
"""
)

#: Makes the index right about some names: those of strings are in it. KEYS: the index. ARGV: the names. Answers how
#: many it was wrong about.
RECONCILE: Final = Script(
    """
local living, gone, wrong = {}, {}, 0
for _, name in ipairs(ARGV) do
  if redis.call('TYPE', name)['ok'] == 'string' then
    living[#living + 1] = '0'
    living[#living + 1] = name
  else gone[#gone + 1] = name end
end
if #living > 0 then wrong = redis.call('ZADD', KEYS[1], unpack(living)) end
if #gone > 0 then wrong = wrong + redis.call('ZREM', KEYS[1], unpack(gone)) end
return wrong
"""
)

#: Begins a rebuild. KEYS: the index. ARGV: a generation, a mark that stays in the index for as long as it is the
#: same one; the mark that it replaces. Marks begin with NUL, so they stand before all names; those of processes
#: that were killed are removed now and then. Answers how many keys the server holds, of whomever.
BEGIN: Final = Script(
    r"""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'zset' then redis.call('DEL', KEYS[1]) end
if redis.call('ZLEXCOUNT', KEYS[1], '-', '(\1') > 1000 then redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '(\1') end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return redis.call('DBSIZE')
"""
)

#: Ends the trust in the index. KEYS: the index. ARGV: a generation. An index without names goes, too; other
#: instances then miss their generations, and rebuild it before they list.
END: Final = Script(
    r"""
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('ZLEXCOUNT', KEYS[1], '[\1', '+') == 0 then redis.call('DEL', KEYS[1]) end
return 1
"""
)

#: Removes names that live no more, and those of another type. KEYS: the index. ARGV: where to begin, and how many
#: to look at. Answers where to go on (empty: that was the end) and how many were removed.
SWEEP: Final = Script(
    """
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
if #names == 0 then return {'', 0} end
local gone = {}
for _, name in ipairs(names) do
  if redis.call('TYPE', name)['ok'] ~= 'string' then gone[#gone + 1] = name end
end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {#names < tonumber(ARGV[2]) and '' or names[#names], #gone}
"""
)


class Part(NamedTuple):
    """What a listing asks the index for at once."""

    lower: bytes
    upper: bytes
    most: int
    mode: Mode
    reverse: bool
    start: str  #: what all names begin with that can be meant

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """What `LIST` gets after the generation."""
        return (self.lower, self.upper, "1" if self.reverse else "0", str(self.most), self.mode)

    def survey(self, prefix: str) -> tuple[Argument, ...]:
        """Return what `LIST` and `ENTRIES` get besides, to look at all names that can be meant."""
        return survey(self.start, len(prefix.encode()))

    def after(self, last: bytes) -> Part:
        """Return the next part, which is not of the same moment any more."""
        part = self._replace(upper=b"(" + last) if self.reverse else self._replace(lower=b"(" + last)
        return part._replace(most=min(PART, self.most))


def first_part(prefix: str, span: KeyQuery, mode: Mode) -> Part:
    """Return the beginning of the span, with the whole prefix of its glob if that is not all."""
    lower = prefix + span.start
    stop = span.stop
    upper = f"({prefix}{stop}" if stop is not None else f"({end}" if (end := successor(prefix)) else "+"
    # Generations begin with NUL: they come before every name, but not before an empty bound.
    most = MOMENT + 1  # a page asks for one more, to know whether there is another page
    if span.exact and span.limit is not None:
        most = min(most, span.limit)
    bound = f"{'(' if span.is_after_start else '['}{lower or chr(1)}"
    return Part(bound.encode(), upper.encode(), most, mode, span.reverse, prefix + span.glob.prefix)


def keys_of(names: bytes, prefix: str) -> list[str]:
    """Return the keys of names with NUL between them. They were looked at when they came into the index."""
    return f"\0{names.decode()}".split(f"\0{prefix}")[1:] if names else []


def own_names(names: Collection[bytes], prefix: str) -> list[bytes]:
    """Return the names that can be of entries, without those that no key of ours can have."""
    skipped = len(prefix.encode())
    shortest, longest = (min(map(len, names)), max(map(len, names))) if names else (0, 0)
    if shortest > skipped and longest <= skipped + MAX_KEY_BYTES:
        with suppress(UnicodeDecodeError):
            if b"\0".join(names).decode().count("\0") == len(names) - 1:
                return list(names)
    return [name for name in names if _is_own(name[skipped:])]


def _is_own(raw: bytes) -> bool:
    try:
        check_key(raw.decode())
    except ValueError:
        return False
    return True


async def scanned(
    pool: NodePool, prefix: str, start: Glob, timeout: float, deadline: float | None = None, kind: str = "string"
) -> AsyncIterator[list[bytes]]:
    """Walk over all keys of a server, and yield the names of entries that start as the matches of a glob do.

    They come in parts, in no order; one may come twice.

    Args:
        pool: leads to the server.
        prefix: what stands before each key.
        start: only the beginning of its matches is looked at.
        timeout: seconds that each answer may take.
        deadline: for the first answer, in the event loop's time.
        kind: of the values, for the server; empty for all, whose names no entry need have.
    """
    kinds = ("TYPE", kind) if kind else ()
    pattern = escape(prefix + start.prefix) + ("" if start.literal else "*")
    pace = TimeSlice()
    cursor: Argument = "0"
    while True:
        command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", str(_SCAN_COUNT), *kinds)
        until, deadline = deadline or asyncio.get_running_loop().time() + timeout, None
        [answer] = await pool.pipeline([command], until)
        if isinstance(answer, Exception):
            raise answer
        cursor, names = answer
        yield own_names(names, prefix)
        await pace.checkpoint()
        if int(cursor) == 0:
            return


async def run_on(
    connection: RedisConnection, calls: Sequence[tuple[Script, Sequence[Argument]]], index: str, deadline: float
) -> list[Any]:
    """Run scripts that do no harm twice, one after the other, over one connection.

    Raises:
        ResponseError: the server refused one.
        NotSentError: none was executed.
        LostError: some may have been.
    """
    answers = await connection.send(
        [("EVALSHA", script.sha, "1", index, *arguments) for script, arguments in calls], deadline
    )
    if any(isinstance(answer, NoScriptError) for answer in answers):
        answers = await connection.send(
            [("EVAL", script.text, "1", index, *arguments) for script, arguments in calls], deadline
        )
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
