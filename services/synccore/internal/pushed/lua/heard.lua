-- KEYS: when the application was heard. ARGV: now in ms. A replica whose clock is behind
-- takes nothing back.
local known = redis.call('GET', KEYS[1])
if not known or tonumber(known) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
