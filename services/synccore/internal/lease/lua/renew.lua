-- KEYS: lease. ARGV: token, ttl in ms. Returns 1, or 0 when the lease is not held
-- with that token.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
