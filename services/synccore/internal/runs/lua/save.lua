-- KEYS: lease, resyncs, turn, cancels, listed, back, counted, hints. ARGV: token, id, JSON, ttl of
-- what belongs to one resync in ms, then three times a count and so many tickets, then a
-- count and so many hints, then ids of resyncs to be forgotten.
-- All or nothing: where a resync goes on and what it found until there are one.
-- Returns {1 or 0 for a lost lease, 1 if it is to be cancelled}.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {0, 0}
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if redis.call('HGET', KEYS[3], 'waiting') == ARGV[2] then
  redis.call('HDEL', KEYS[3], 'waiting')
end
local at = 5
for set = 5, 8 do
  local n = tonumber(ARGV[at])
  if n > 0 then
    local values = {}
    for i = at + 1, at + n do
      values[#values + 1] = ARGV[i]
    end
    if set == 8 then
      redis.call('RPUSH', KEYS[set], unpack(values))
    else
      redis.call('SADD', KEYS[set], unpack(values))
    end
    redis.call('PEXPIRE', KEYS[set], ARGV[4])
  end
  at = at + n + 1
end
for i = at, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('HDEL', KEYS[4], ARGV[i])
end
return {1, redis.call('HEXISTS', KEYS[4], ARGV[2])}
