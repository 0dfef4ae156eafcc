-- KEYS: existing, facts. ARGV: tickets. Returns 1, or 0 when the snapshot is complete.
if redis.call('HEXISTS', KEYS[2], 'complete') == 1 then
  return 0
end
redis.call('SADD', KEYS[1], unpack(ARGV))
return 1
