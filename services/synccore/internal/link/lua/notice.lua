-- KEYS: notices, link, history. ARGV: source, notice JSON that the writer knows, the
-- next, history cap, then history entries, oldest first.
-- Returns 1, or 0 when another notice is stored or none.
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old == ARGV[3] then
  -- The same write again, its first answer lost.
  return 1
end
if old ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if #ARGV > 4 and redis.call('EXISTS', KEYS[2]) == 1 then
  for i = 5, #ARGV do
    redis.call('LPUSH', KEYS[3], ARGV[i])
  end
  redis.call('LTRIM', KEYS[3], 0, ARGV[4] - 1)
end
return 1
