-- KEYS: mirrors, lease. ARGV: token. Notes once since when mirrors are remembered.
-- Returns what is noted, or '' when the lease is not the caller's any more.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return ''
end
local now = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'since', string.format('{"ms":%.0f}', now[1] * 1000 + math.floor(now[2] / 1000)))
return redis.call('HGET', KEYS[1], 'since')
