-- KEYS: the three sets of one state. ARGV: ticket, time. Drops the ticket's entry unless
-- it was made later.
local seen = redis.call('ZSCORE', KEYS[2], ARGV[1])
if seen and tonumber(seen) <= tonumber(ARGV[2]) then
  for i = 1, 3 do
    redis.call('ZREM', KEYS[i], ARGV[1])
  end
end
return 0
