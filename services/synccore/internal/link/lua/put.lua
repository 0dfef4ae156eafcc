-- KEYS: link, history, lease, mirrors. ARGV: token, version the writer knows, link JSON,
-- work item (0: none), indexed ('1': the index names this link already with this
-- token), history cap, state, then history entries, oldest first.
-- Returns {'ok', new version, state before} | {'lost', 0} | {'version', stored} | {'index', stored}.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return {'lost', 0}
end
local old = redis.call('HMGET', KEYS[1], 'v', 'w', 'k', 'j', 's')
local version = tonumber(old[1] or '0')
if version ~= tonumber(ARGV[2]) then
  -- The same write again, its first answer lost: nobody else can have written it,
  -- as the token is valid and ours.
  if version == tonumber(ARGV[2]) + 1 and old[3] == ARGV[1] and old[4] == ARGV[3] then
    return {'ok', version, ''}
  end
  return {'version', version}
end
if ARGV[5] ~= '1' and (version == 0 or (ARGV[4] ~= '0' and old[2] ~= ARGV[4])) then
  return {'index', version}
end
version = version + 1
redis.call('HSET', KEYS[1], 'v', version, 'w', ARGV[4], 'k', ARGV[1], 'j', ARGV[3], 's', ARGV[7])
if version == 1 then
  redis.call('HSET', KEYS[1], 'c', ARGV[1])
  redis.call('PERSIST', KEYS[2])
  local now = redis.call('TIME')
  redis.call('HSETNX', KEYS[4], 'since', string.format('{"ms":%.0f}', now[1] * 1000 + math.floor(now[2] / 1000)))
end
for i = 8, #ARGV do
  redis.call('LPUSH', KEYS[2], ARGV[i])
end
if #ARGV > 7 then
  redis.call('LTRIM', KEYS[2], 0, ARGV[6] - 1)
end
return {'ok', version, old[5] or ''}
