"""The Lua scripts that read and store whole pages of entries with absolute deadlines."""

from __future__ import annotations

from typing import Final

from .scripts import Script

#: Texts and deadlines of entries. KEYS: the keys. ARGV: bytes of text after which no further key is looked at.
#: Answers text and deadline in epoch milliseconds or -1, the text nil without entry, by turns for each key that was
#: looked at: a list for each key costs the server three times as much. PEXPIRETIME came with Redis 7; before, it is
#: computed, as often as the server was held up meanwhile.
CARRY: Final = Script(
    """
local found, bytes, limit = {}, 0, tonumber(ARGV[1])
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local tells, before = true, now()
local function deadline_of(key)
  if tells then
    local deadline = redis.pcall('PEXPIRETIME', key)
    if type(deadline) ~= 'table' then return deadline end
    tells = false
  end
  for try = 1, 10 do
    local left = redis.call('PTTL', key)
    if left < 0 then return left end
    local after = now()
    if after - before < 2 or try == 10 then return after + left end
    before = after
  end
end
for position, key in ipairs(KEYS) do
  if bytes >= limit then break end
  local text = redis.pcall('GET', key)
  if type(text) == 'string' then
    found[2 * position - 1], found[2 * position] = text, deadline_of(key)
    bytes = bytes + #text
  else found[2 * position - 1], found[2 * position] = false, -2 end
end
return found
"""
)

#: Stores entries with absolute deadlines. KEYS: the keys, and the index. ARGV: 1 if the last of KEYS is the index,
#: else 0; 1 if an entry is only stored where there is none or it holds what is expected, else 0; for each its text
#: and its deadline in epoch milliseconds or 0; then for each 1 and the text that is expected, or 0 and nothing, all
#: of which is left out where none is. Answers 1 or 0 for each. What has no deadline is one MSET, and where there is
#: nothing yet, as where most copies begin, none is looked at: few calls and arguments are what makes it fast.
#: A key of another type is no entry: the index names it no more, where a transaction before has added it.
STORE: Final = Script(
    """
local answers, members, pairs, others = {}, {}, {}, {}
local count = #KEYS - ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local looks = ARGV[2] == '1' and redis.call('EXISTS', unpack(KEYS, 1, count)) > 0
for position = 1, count do
  local key, text, deadline = KEYS[position], ARGV[2 * position + 1], ARGV[2 * position + 2]
  local fits = true
  if looks then
    local held, base = redis.pcall('GET', key), 2 * (count + position) + 1
    fits = held == false or (ARGV[base] == '1' and held == ARGV[base + 1])
    if type(held) == 'table' then others[#others + 1] = key end
  end
  if fits then
    if deadline == '0' then pairs[#pairs + 1] = key pairs[#pairs + 1] = text
    elseif tonumber(deadline) > now then redis.call('SET', key, text, 'PXAT', deadline)
    else redis.call('DEL', key) end
    members[#members + 1] = '0'
    members[#members + 1] = key
  end
  answers[position] = fits and 1 or 0
end
if #pairs > 0 then redis.call('MSET', unpack(pairs)) end
if ARGV[1] == '1' and #members > 0 then redis.pcall('ZADD', KEYS[#KEYS], unpack(members)) end
if ARGV[1] == '1' and #others > 0 then redis.pcall('ZREM', KEYS[#KEYS], unpack(others)) end
return answers
"""
)
