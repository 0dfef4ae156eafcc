-- KEYS: resyncs, turn, cancels. ARGV: id, JSON of it as cancelled before it began. One
-- that waits is cancelled at once; of one that runs it is noted, for whoever runs it.
-- Returns 1, or 0 when there is none of that id.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if redis.call('HGET', KEYS[2], 'waiting') == ARGV[1] then
  redis.call('HDEL', KEYS[2], 'waiting')
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
else
  redis.call('HSET', KEYS[3], ARGV[1], '1')
end
return 1
