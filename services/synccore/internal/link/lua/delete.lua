-- KEYS: link, history, lease, mirrors, notices, pushed log. ARGV: token, version the writer knows, how long the
-- history is kept in ms, then history entries, oldest first.
-- Returns {'ok', token that created the link, work item} | {'lost'} | {'version', stored}.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return {'lost', '', ''}
end
local old = redis.call('HMGET', KEYS[1], 'v', 'c', 'w')
if not old[1] then
  return {'ok', '', ''}
end
if old[1] ~= ARGV[2] then
  return {'version', old[1], ''}
end
redis.call('DEL', KEYS[1], KEYS[4], KEYS[5])
for i = 4, #ARGV do
  redis.call('LPUSH', KEYS[2], ARGV[i])
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[6], ARGV[3])
return {'ok', old[2], old[3]}
