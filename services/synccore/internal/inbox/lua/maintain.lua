-- ARGV: prefix, retention of dead letters in ms, most dead letters, most of each
-- kind at once. Returns how many dead letters were dropped.
local limit = tonumber(ARGV[4])
local t = now()
sweep(t, limit)
local before = string.format('%013.0f:', math.max(0, t - ARGV[2]))
local excess, dropped = call('ZCARD', P .. 'dead') - ARGV[3], 0
for _, member in ipairs(call('ZRANGE', P .. 'dead', 0, limit - 1)) do
  if member >= before and dropped >= excess then
    break
  end
  local at, name = string.match(member, '^(%d+):(.*)$')
  local c, id = string.match(name, '^([^/]*)/(.*)$')
  call('DEL', P .. 'letter:' .. name)
  call('ZREM', P .. 'dead', member)
  call('ZREM', P .. 'dead:' .. c, at .. ':' .. id)
  dropped = dropped + 1
end
return dropped
