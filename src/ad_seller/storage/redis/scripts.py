"""The Lua scripts of the Redis backend. Everything from callers comes as KEYS and ARGV, never in the text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import ResponseError

from ..driver.commit import Commit, Delete, Outcome, Put, Refused, Touch, Write
from ..driver.failures import LostError
from ..errors import CorruptValueError
from ..records.markers import KEEP

Argument = str | bytes  #: no int: hiredis 3.5.0 crashes if a signal handler raises while it makes text of one
Call = tuple[Sequence[str], Sequence[Argument]]  #: KEYS and ARGV of a script

#: Reads and writes of one script, unless one commit has more: the server does nothing else.
SCRIPT_PARTS: Final = 1_000
SCRIPT_BYTES: Final = 8 * 1024 * 1024  #: text of one script's values, likewise

_MOST_PUTS: Final = 2_000  #: keys of `PUTS`: Lua hands no more than 8,000 arguments to a command

_UNKNOWN: Final = object()


@dataclass(frozen=True, eq=False)
class Script:
    """A Lua script and the hash by which the server knows it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the hash; Redis names scripts by SHA-1."""
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


#: Applies many commits, each all or nothing. ARGV: the number of commits; 1 if the last of KEYS is the index, else
#: 0; 1 if WAIT follows, else 0; for each commit its numbers of expectations and writes, then (present, text) for
#: each expectation and (operation, milliseconds, text) for each write. KEYS: likewise. Answers one string a commit:
#: "+" and a flag for each write, or "-" and the position of the expectation that failed, or "!" and its position if
#: the key holds another type, or "?" and the words of a refusal, or "~" and those if a part was written before it.
#:
#: Redis refuses the first write of a script only (read-only, out of memory, cannot persist): no commit is applied
#: in part, unless single commands are forbidden to the user. What concerns one commit alone (out of memory, where a
#: delete is allowed; permissions) is its own outcome, anything else that of the script. What becomes of the index
#: never fails a commit: `tracker` notices. If WAIT follows and nothing was replicated, what a refusal rests on is
#: written as it is: Valkey 9 waits only behind what the connection itself has written.
COMMITS: Final = Script(
    """
local answers, k, a = {}, 0, 3
local indexed, names, lives, wrote = ARGV[2] == '1', {}, {}, false
local met, replicated = nil, ARGV[3] == '0'
local function is_own(words)
  return string.find(words, 'OOM', 1, true) or string.find(words, 'NOPERM', 1, true)
    or string.find(words, "can't run", 1, true) or string.find(words, "can't access", 1, true)
end
for commit = 1, tonumber(ARGV[1]) do
  local expectations, writes = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  a = a + 2
  local refused = nil
  for position = 1, expectations do
    local held = redis.pcall('GET', KEYS[k + position])
    local wanted = false
    if ARGV[a + 1] == '1' then wanted = ARGV[a + 2] end
    if type(held) == 'table' then
      refused = string.find(held['err'], 'WRONGTYPE', 1, true) and '!' .. position or '?' .. held['err']
    elseif held ~= wanted and not refused then refused, met = '-' .. position, KEYS[k + position] end
    a = a + 2
  end
  k = k + expectations
  if refused then
    answers[commit] = refused
  else
    local flags, begun, failed = {'+'}, false, nil
    for position = 1, writes do
      local key, base = KEYS[k + position], a + 3 * (position - 1)
      local operation, ms, text = ARGV[base + 1], ARGV[base + 2], ARGV[base + 3]
      local flag, alive, done = 1, true, nil
      if operation == 's' then done = redis.pcall('SET', key, text)
      elseif operation == 'p' then done = redis.pcall('SET', key, text, 'PX', ms)
      elseif operation == 'k' then done = redis.pcall('SET', key, text, 'KEEPTTL')
      elseif operation == 'd' then
        done, alive = redis.pcall('DEL', key), false
        flag = done
      else
        alive = nil
        if operation == 't' then
          done = redis.pcall('PEXPIRE', key, ms)
          flag = done
        else
          flag = redis.pcall('EXISTS', key)
          done = redis.pcall('PERSIST', key)
        end
      end
      if type(done) == 'table' and done['err'] then
        if not (wrote or is_own(done['err'])) then return done end
        failed = (begun and '~' or '?') .. done['err']
        break
      end
      begun, wrote = true, true
      if alive or done == 1 then replicated = true end
      if indexed and alive ~= nil then
        if lives[key] == nil then names[#names + 1] = key end
        lives[key] = alive
      end
      flags[position + 1] = flag
    end
    answers[commit] = failed or table.concat(flags)
  end
  k = k + writes
  a = a + 3 * writes
end
if met and not replicated then
  local held = redis.call('GET', met)
  local done = redis.pcall('SET', met, held or '', 'KEEPTTL')
  if not held then redis.pcall('DEL', met) end
  if done['err'] then return done end
end
local living, gone = {}, {}
for _, name in ipairs(names) do
  if lives[name] then
    living[#living + 1] = '0'
    living[#living + 1] = name
  else gone[#gone + 1] = name end
end
local index = KEYS[#KEYS]
for first = 1, #living, 2000 do
  redis.pcall('ZADD', index, unpack(living, first, math.min(first + 1999, #living)))
end
for first = 1, #gone, 2000 do
  redis.pcall('ZREM', index, unpack(gone, first, math.min(first + 1999, #gone)))
end
return answers
"""
)

#: Stores many entries alike, at most 2,000. ARGV: their milliseconds, 0 for no expiry; 1 if the last of KEYS is the
#: index, else 0; the texts. KEYS: the keys in the same order. Few calls for many entries are what makes it fast.
#: Answers a list with one item.
PUTS: Final = Script(
    """
local ms, pairs, members = ARGV[1], {}, {}
for i = 3, #ARGV do
  local key, base = KEYS[i - 2], 2 * (i - 2)
  pairs[base - 1], pairs[base] = key, ARGV[i]
  members[base - 1], members[base] = '0', key
end
if ms == '0' then redis.call('MSET', unpack(pairs))
else
  for i = 1, #pairs, 2 do redis.call('SET', pairs[i], pairs[i + 1], 'PX', ms) end
end
if ARGV[2] == '1' then redis.pcall('ZADD', KEYS[#KEYS], unpack(members)) end
return {1}
"""
)

#: Adds 1 to the counter KEYS[1]; KEYS[2] is the index, where there is one. Answers a list with the sum.
COUNT: Final = Script(
    """
local sum = redis.call('INCR', KEYS[1])
if KEYS[2] then redis.pcall('ZADD', KEYS[2], 0, KEYS[1]) end
return {sum}
"""
)

#: The PTTL of each of KEYS; what is no string is none of our entries.
EXPIRIES: Final = Script(
    """
local answers = {}
for position, key in ipairs(KEYS) do
  local ms = redis.call('PTTL', key)
  if ms ~= -2 and redis.call('TYPE', key)['ok'] ~= 'string' then ms = -2 end
  answers[position] = ms
end
return answers
"""
)


def pack(commits: Iterable[Commit], prefix: str, index: str | None, waits: bool) -> Call:
    """Return KEYS and ARGV of `COMMITS`."""
    keys: list[str] = []
    arguments: list[Argument] = ["0", "0", "1" if waits else "0"]
    number = 0
    for number, (expectations, writes) in enumerate(commits, start=1):  # noqa: B007 - used after the loop
        arguments += (str(len(expectations)), str(len(writes)))
        for key, text in expectations:
            keys.append(prefix + key)
            arguments += ("0", b"") if text is None else ("1", text)
        for write in writes:
            keys.append(prefix + write.key)
            arguments += _pack_write(write)
    if index is not None:
        keys.append(index)
        arguments[1] = "1"
    arguments[0] = str(number)
    return keys, arguments


def _pack_puts(commits: Sequence[Commit], prefix: str, index: str | None) -> tuple[list[str], list[Any]] | None:
    """Return KEYS and ARGV of `PUTS`, or None if the commits are others than puts with the same TTL.

    Without a TTL they are one MSET, which is refused as a whole, so that a commit may have several keys.
    """
    keys: list[str] = []
    arguments: list[Argument] = ["0", "0"]
    ttl_ms: object = _UNKNOWN
    is_joint = False  # whether a commit has several keys
    for expectations, writes in commits:
        if expectations or not writes:
            return None
        is_joint = is_joint or len(writes) > 1
        for put in writes:
            if type(put) is not Put:
                return None
            if put.ttl_ms != ttl_ms:
                if ttl_ms is not _UNKNOWN or put.ttl_ms is KEEP:
                    return None
                ttl_ms = put.ttl_ms
                arguments[0] = str(ttl_ms or 0)
            keys.append(prefix + put.key)
            arguments.append(put.text)
    if len(keys) > _MOST_PUTS or (is_joint and ttl_ms is not None):
        return None
    if index is not None:
        keys.append(index)
        arguments[1] = "1"
    return keys, arguments


def _pack_write(write: Write) -> tuple[Argument, Argument, Argument]:
    match write:
        case Put(_, text, ttl_ms):
            if ttl_ms is None:
                return "s", "0", text
            return ("k", "0", text) if ttl_ms is KEEP else ("p", str(ttl_ms), text)
        case Touch(_, ttl_ms):
            return ("n", "0", b"") if ttl_ms is None else ("t", str(ttl_ms), b"")
        case Delete():
            return "d", "0", b""


def packed(
    commits: Sequence[Commit], prefix: str, index: str | None, *, waits: bool = False
) -> tuple[Script, Call]:
    """Return the script that applies the commits, and what it gets; ``waits`` if WAIT follows."""
    puts = _pack_puts(commits, prefix, index)
    return (COMMITS, pack(commits, prefix, index, waits)) if puts is None else (PUTS, puts)


def one_call(
    commits: Sequence[Commit], prefix: str, index: str | None, *, waits: bool = False
) -> tuple[Script, Call] | None:
    """Return what applies all commits at once, or None if they are too much for one script, or a mixture.

    Puts alone are one call, and so is a commit that is alone, as those of callers that wait for each other are.
    """
    if len(commits) > SCRIPT_PARTS:
        return None
    puts = _pack_puts(commits, prefix, index)
    if puts is not None:
        return (PUTS, puts) if sum(map(len, puts[1][2:])) <= SCRIPT_BYTES else None
    if len(commits) > 1:
        return None
    expectations, writes = commits[0]
    if not 0 < len(expectations) + len(writes) <= SCRIPT_PARTS:
        return None
    return COMMITS, pack(commits, prefix, index, waits)


def unpacked(answer: Any, commits: Sequence[Commit]) -> Sequence[Outcome | Exception]:
    """Return the outcome of each commit, from what the script answered."""
    if isinstance(answer, Exception):
        return [answer] * len(commits)
    if answer == [1]:
        return [[True] * len(commit.writes) for commit in commits]
    return [_unpack(item, commit) for item, commit in zip(answer, commits, strict=True)]


def _unpack(item: Any, commit: Commit) -> Outcome | Exception:
    if isinstance(item, Exception):
        return item
    if item == 1:
        return [True]
    if item.startswith(b"!"):
        key = commit.expectations[int(item[1:]) - 1].key
        return CorruptValueError(f"What Redis holds under {key!r} is no string, so no entry of ours", key=key)
    if item.startswith(b"?"):
        return ResponseError(item[1:].decode(errors="replace"))
    if item.startswith(b"~"):
        return LostError(
            f"a part was written when the server refused the rest ({item[1:].decode(errors='replace')})"
        )
    if item.startswith(b"-"):
        return Refused(commit.expectations[int(item[1:]) - 1].key)
    return [flag == ord("1") for flag in item[1:]]
