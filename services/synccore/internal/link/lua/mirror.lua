-- KEYS: mirrors, lease. ARGV: token, source, mirror JSON.
-- Returns 1, or 0 when the lease is not the caller's any more.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
