-- ARGV: prefix, item key, token, reason, trace id, most dead letters. Returns 1, or 0
-- for a stale token.
local k = ARGV[2]
local it = item(k)
if not holds(it, ARGV[3]) then
  return 0
end
local g = read(it, W)
local name = connector(k) .. '/' .. g[1]
local letter = P .. 'letter:' .. name
local at = string.format('%013.0f', now())
write(letter, W, g)
call('HSET', letter, 'key', k, 'n', tonumber(call('HGET', it, 'n')) + 1, 'm', ARGV[4], 'x', ARGV[5], 'd', at)
call('ZADD', P .. 'dead', 0, at .. ':' .. name)
call('ZADD', P .. 'dead:' .. connector(k), 0, at .. ':' .. g[1])
settle(k, it)

local function bury(member)
  local ms, old = string.match(member, '^(%d+):(.*)$')
  local c, id = string.match(old, '^([^/]*)/(.*)$')
  call('DEL', P .. 'letter:' .. old)
  call('ZREM', P .. 'dead', member)
  call('ZREM', P .. 'dead:' .. c, ms .. ':' .. id)
end
if call('ZCARD', P .. 'dead') > tonumber(ARGV[6]) then
  bury(call('ZRANGE', P .. 'dead', 0, 0)[1])
end
return 1
