-- KEYS: mirrors, lease, notices. ARGV: token, source, mirror JSON, notice JSON or '' for
-- none. A notice that is there already stays as it is: the message was told of, or is
-- being.
-- Returns 1, or 0 when the lease is not the caller's any more.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSETNX', KEYS[3], ARGV[2], ARGV[4])
end
return 1
