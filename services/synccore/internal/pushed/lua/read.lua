-- KEYS: log, link. Returns the fields of the log. What belongs to a link stays with it.
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('PERSIST', KEYS[1])
end
return redis.call('HGETALL', KEYS[1])
