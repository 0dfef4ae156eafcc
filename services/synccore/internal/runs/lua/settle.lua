-- KEYS: resyncs, outcomes. ARGV: id, ticket, outcome, ttl in ms. Notes what became of a
-- ticket, the last time counting, and keeps the counts beside.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local before = redis.call('HGET', KEYS[2], ARGV[2])
if before == ARGV[3] or (before == 'written' and ARGV[3] == 'nothing') then
  return 1
end
if before then
  redis.call('HINCRBY', KEYS[2], '#' .. before, -1)
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HINCRBY', KEYS[2], '#' .. ARGV[3], 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
