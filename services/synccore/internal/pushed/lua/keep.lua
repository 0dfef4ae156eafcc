-- KEYS: log, link. ARGV: record, what the caller knows of it ('' for nothing), what is to be
-- kept, how long in ms if there is no link, most records, most bytes.
-- Returns {1, how many records were dropped} | {0, 0} when something else is known.
local log, field = KEYS[1], ARGV[1]
local records, bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local old = redis.call('HGET', log, field) or ''
if old ~= ARGV[2] then
  return {0, 0}
end
redis.call('HSET', log, field, ARGV[3])
local size = redis.call('HINCRBY', log, 'bytes', #ARGV[3] - #old)
local count = redis.call('HLEN', log) - 1
local dropped = 0
if size > bytes or count > records then
  -- The oldest go, but for the first, which founded the ticket, and the one just told.
  local ids = {}
  for _, id in ipairs(redis.call('HKEYS', log)) do
    if id ~= 'bytes' then
      ids[#ids + 1] = id
    end
  end
  table.sort(ids, function(a, b)
    if #a ~= #b then
      return #a < #b
    end
    return a < b
  end)
  for i = 2, #ids do
    if size <= bytes and count <= records then
      break
    end
    if ids[i] ~= field then
      size = redis.call('HINCRBY', log, 'bytes', -redis.call('HSTRLEN', log, ids[i]))
      redis.call('HDEL', log, ids[i])
      count, dropped = count - 1, dropped + 1
    end
  end
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('PERSIST', log)
else
  redis.call('PEXPIRE', log, ARGV[4])
end
return {1, dropped}
