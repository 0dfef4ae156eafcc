-- Brings the entry of one link in the index of states into line with the link, unless
-- somebody wrote it meanwhile.
-- KEYS: the three sets of the state whose entry was seen, then those of the state that
-- the link has (none: it is gone). ARGV: ticket, the time that was seen ('': no entry),
-- then the link's own number, time and work item as scores.
-- Returns 1, or 0 when the entry is another one by now.
local seen = redis.call('ZSCORE', KEYS[2], ARGV[1])
if ARGV[2] == '' then
  if seen then
    return 0
  end
elseif not seen or tonumber(seen) ~= tonumber(ARGV[2]) then
  return 0
end
for i = 1, 3 do
  redis.call('ZREM', KEYS[i], ARGV[1])
end
for i = 4, #KEYS do
  redis.call('ZADD', KEYS[i], ARGV[i - 1], ARGV[1])
end
return 1
