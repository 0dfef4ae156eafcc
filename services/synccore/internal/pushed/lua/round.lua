-- KEYS: when the last round began. ARGV: how long it took in ms. The clock is that of
-- Redis, whose word the memory of messages is compared with.
local now = redis.call('TIME')
local began = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[1])
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if began > known then
  redis.call('SET', KEYS[1], string.format('%.0f', began))
end
return 1
