"""Listings that look at all keys within their own script: where there are few, that costs less than to be told.

What the script finds, it makes the index right about, and then it reads the index: all of that is one moment, so
nobody has to be told of what others write.
"""

from __future__ import annotations

from typing import Final

from ..records.globs import escape, successor
from ..records.keys import MAX_KEY_BYTES
from .scripts import Argument

#: Keys of a server of which one script looks at all: it does nothing else for 0.6 ms or, where all match, 5 to 10.
MOST_KEYS: Final = 5_000

#: Tells whether the index (KEYS[1]) is right about what is asked for. ARGV[1]: the generation that vouches for it.
#: Or ARGV[7] to ARGV[10]: the pattern to look at, the bytes before each key, and the bounds of what the pattern
#: matches, as ZRANGEBYLEX takes them; then the index is made right about these names. That cannot be where there
#: are too many keys, or names of which only Python can tell whether they are keys of ours.
IS_RIGHT: Final = rf"""
local function is_right()
  if not ARGV[7] then return redis.call('ZSCORE', KEYS[1], ARGV[1]) end
  if redis.call('DBSIZE') > {MOST_KEYS} then return false end
  local cursor, steps, skipped, many, seen = '0', 0, tonumber(ARGV[8]), 0, {{}}
  repeat
    local answer = redis.call('SCAN', cursor, 'MATCH', ARGV[7], 'COUNT', {MOST_KEYS}, 'TYPE', 'string')
    local members = {{}}
    for _, name in ipairs(answer[2]) do
      local is_odd = #name <= skipped or #name > skipped + {MAX_KEY_BYTES}
        or string.find(name, '[%z\128-\255]', skipped + 1)
      if is_odd and not redis.call('ZSCORE', KEYS[1], name) then return false end
      if not seen[name] then
        seen[name], many = true, many + 1
        members[#members + 1] = '0'
        members[#members + 1] = name
      end
    end
    for first = 1, #members, 4000 do
      redis.call('ZADD', KEYS[1], unpack(members, first, math.min(first + 3999, #members)))
    end
    cursor, steps = answer[1], steps + 1
    if cursor ~= '0' and steps == 8 then return false end
  until cursor == '0'
  local wrong = redis.call('ZLEXCOUNT', KEYS[1], ARGV[9], ARGV[10]) - many
  if wrong > {MOST_KEYS} then return false end
  if wrong ~= 0 then
    for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[9], ARGV[10])) do
      if not seen[name] then redis.call('ZREM', KEYS[1], name) end
    end
  end
  return true
end
"""


def survey(start: str, skipped: int) -> tuple[Argument, ...]:
    """Return what `IS_RIGHT` gets to look at all names that begin with ``start``.

    Args:
        start: what the names begin with.
        skipped: bytes before each key.
    """
    end = successor(start)
    upper = "+" if end is None else f"({end}"
    return f"{escape(start)}*", str(skipped), f"[{start or chr(1)}", upper
