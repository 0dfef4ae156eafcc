-- ARGV: prefix, connector, public id, most items. Returns {1, item key}, {0} when
-- there is no such dead letter, or {-1} when the inbox is full. As a person asks for
-- it, it is forced.
local name = ARGV[2] .. '/' .. ARGV[3]
local letter = P .. 'letter:' .. name
local o = call('HMGET', letter, 'key', 'd')
if not o[1] then
  return {0}
end
local k = o[1]
local it = item(k)
local present = look(it)
if not present[1] and call('ZCARD', AGE) >= tonumber(ARGV[4]) then
  return {-1}
end
local g = read(letter, W)
g[8], g[9] = '2', text(now())
call('DEL', letter)
call('ZREM', P .. 'dead', o[2] .. ':' .. name)
call('ZREM', P .. 'dead:' .. ARGV[2], o[2] .. ':' .. ARGV[3])
add(k, it, present, g)
if call('HGET', it, 's') == 'q' then
  call('HSET', it, 'n', '0')
  call('HDEL', it, 'u', 'v')
end
return {1, k}
