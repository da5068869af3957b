"""The Lua scripts of the Redis backend. Everything from callers comes as KEYS and ARGV, never in the text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .commit import KEEP, Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write
from .errors import CorruptValueError

Argument = str | bytes | int


@dataclass(frozen=True)
class Script:
    """A Lua script and the hash by which the server knows it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the hash; Redis names scripts by SHA-1."""
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


#: Applies many commits, each all or nothing. ARGV: the number of commits; for each its numbers of
#: expectations and writes, then (present, text) for each expectation and (operation, milliseconds, text) for
#: each write. KEYS: the keys in the same order. Answers one string a commit: "+" and a flag for each write, or
#: "-" and the position of the expectation that failed, or "!" and its position if the key holds another type.
#:
#: An error can only come from the first write (read-only, out of memory, cannot persist), because Redis checks
#: those conditions once a script: so no commit is ever applied in part.
COMMITS: Final = Script(
    """
local answers, k, a = {}, 0, 1
for commit = 1, tonumber(ARGV[1]) do
  local expectations, writes = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  a = a + 2
  local refused = nil
  for position = 1, expectations do
    local held = redis.pcall('GET', KEYS[k + position])
    local wanted = false
    if ARGV[a + 1] == '1' then wanted = ARGV[a + 2] end
    if type(held) == 'table' then refused = '!' .. position
    elseif held ~= wanted and not refused then refused = '-' .. position end
    a = a + 2
  end
  k = k + expectations
  if refused then
    answers[commit] = refused
  else
    local flags = {'+'}
    for position = 1, writes do
      local key, base = KEYS[k + position], a + 3 * (position - 1)
      local operation, ms, text = ARGV[base + 1], ARGV[base + 2], ARGV[base + 3]
      local flag = 1
      if operation == 's' then redis.call('SET', key, text)
      elseif operation == 'p' then redis.call('SET', key, text, 'PX', ms)
      elseif operation == 'k' then redis.call('SET', key, text, 'KEEPTTL')
      elseif operation == 'd' then flag = redis.call('DEL', key)
      elseif operation == 't' then flag = redis.call('PEXPIRE', key, ms)
      else
        flag = redis.call('EXISTS', key)
        redis.call('PERSIST', key)
      end
      flags[position + 1] = flag
    end
    answers[commit] = table.concat(flags)
  end
  k = k + writes
  a = a + 3 * writes
end
return answers
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


def pack(commits: Iterable[Commit], prefix: str) -> tuple[list[str], list[Argument]]:
    """Return KEYS and ARGV of `COMMITS`."""
    keys: list[str] = []
    arguments: list[Argument] = [0]
    number = 0
    for number, (expectations, writes) in enumerate(commits, start=1):  # noqa: B007 - used after the loop
        arguments += (len(expectations), len(writes))
        for key, text in expectations:
            keys.append(prefix + key)
            arguments += (0, b"") if text is None else (1, text)
        for write in writes:
            keys.append(prefix + write.key)
            arguments += _pack_write(write)
    arguments[0] = number
    return keys, arguments


def _pack_write(write: Write) -> tuple[Argument, Argument, Argument]:
    match write:
        case Put(_, text, ttl_ms):
            if ttl_ms is None:
                return "s", 0, text
            return ("k", 0, text) if ttl_ms is KEEP else ("p", ttl_ms, text)
        case Touch(_, ttl_ms):
            return ("n", 0, b"") if ttl_ms is None else ("t", ttl_ms, b"")
        case Delete():
            return "d", 0, b""


def unpack(answer: bytes, expectations: tuple[Expect, ...]) -> Outcome | CorruptValueError:
    """Return the outcome of one commit."""
    if answer.startswith(b"!"):
        key = expectations[int(answer[1:]) - 1].key
        return CorruptValueError(f"What Redis holds under {key!r} is no string, so no entry of ours", key=key)
    if answer.startswith(b"-"):
        return Refused(expectations[int(answer[1:]) - 1].key)
    return [flag == ord("1") for flag in answer[1:]]
