-- KEYS: resyncs, turn. ARGV: id, JSON. Stores a resync that waits, unless one does.
-- Returns the id and JSON of the one that waits.
local waiting = redis.call('HGET', KEYS[2], 'waiting')
if waiting then
  local known = redis.call('HGET', KEYS[1], waiting)
  if known then
    return {waiting, known}
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], 'waiting', ARGV[1])
return {ARGV[1], ARGV[2]}
