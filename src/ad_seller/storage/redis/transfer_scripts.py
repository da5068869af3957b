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
local tells = true
local function deadline_of(key)
  if tells then
    local deadline = redis.pcall('PEXPIRETIME', key)
    if type(deadline) ~= 'table' then return deadline end
    tells = false
  end
  local before, after, left = 0, 0, redis.call('PTTL', key)
  if left < 0 then return left end
  for try = 1, 10 do
    before, left, after = now(), redis.call('PTTL', key), now()
    if left < 0 then return left end
    if after - before < 2 then break end
  end
  return after + left
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
#: else 0; 1 if an entry is only stored where there is none or it holds what is expected, else 0; for each its text,
#: its deadline in epoch milliseconds or 0, 1 and the text that is expected, or 0 and nothing.
#: Answers 1 or 0 for each.
STORE: Final = Script(
    """
local answers, names = {}, {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for position = 1, #KEYS - ARGV[1] do
  local key, base, fits = KEYS[position], 4 * position - 1, true
  local text, deadline = ARGV[base], tonumber(ARGV[base + 1])
  if ARGV[2] == '1' then
    local held = redis.pcall('GET', key)
    fits = held == false or (ARGV[base + 2] == '1' and held == ARGV[base + 3])
  end
  if fits then
    if deadline == 0 then redis.call('SET', key, text)
    elseif deadline > now then redis.call('SET', key, text, 'PXAT', ARGV[base + 1])
    else redis.call('DEL', key) end
    names[#names + 1] = '0'
    names[#names + 1] = key
  end
  answers[position] = fits and 1 or 0
end
if ARGV[1] == '1' then
  for first = 1, #names, 2000 do
    redis.pcall('ZADD', KEYS[#KEYS], unpack(names, first, math.min(first + 1999, #names)))
  end
end
return answers
"""
)
