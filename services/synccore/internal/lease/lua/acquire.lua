-- KEYS: lease, fence. ARGV: ttl in ms, how long the fence is remembered in ms.
-- Returns {token, 0}, or {'', ms until the present lease ends}.
local left = redis.call('PTTL', KEYS[1])
if left > 0 then
  return {'', left}
end
-- The clock alone would do while it only moves forward; the fence covers a clock
-- set back, and the clock covers a fence lost with the last second of a power cut.
local t = redis.call('TIME')
local token = t[1] * 1000000 + t[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if token <= last then
  token = last + 1
end
token = string.format('%.0f', token)
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
return {token, 0}
