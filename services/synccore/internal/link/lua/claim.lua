-- KEYS: the connector's work item index. ARGV: work item, expected claim ('' for
-- none), new claim ('' removes). Returns 1, or 0 when the index holds another claim.
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
