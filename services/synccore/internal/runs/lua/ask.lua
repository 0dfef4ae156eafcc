-- KEYS: resyncs, turn, perhaps request. ARGV: id, JSON, milliseconds. Stores a resync that
-- waits, unless one does. A request is known for that time, and gets what it got before as
-- long as that is kept. Returns the id and JSON of the resync that it got.
local function got(id, text)
  if KEYS[3] then
    redis.call('SET', KEYS[3], id, 'PX', ARGV[3])
  end
  return {id, text}
end
for _, id in ipairs({KEYS[3] and redis.call('GET', KEYS[3]) or false, redis.call('HGET', KEYS[2], 'waiting')}) do
  local known = id and redis.call('HGET', KEYS[1], id)
  if known then
    return got(id, known)
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], 'waiting', ARGV[1])
return got(ARGV[1], ARGV[2])
