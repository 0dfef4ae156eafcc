-- ARGV: prefix, item key, token, wait in ms, counted ('1', '2' if unexpected, or '0'),
-- held ('1' or '0'), reason, trace id. Returns 1, or 0 for a stale token.
local k, wait, held = ARGV[2], tonumber(ARGV[4]), ARGV[6] == '1'
local it = item(k)
if not holds(it, ARGV[3]) then
  return 0
end
call('ZREM', RUN, k)
call('HDEL', it, 'k', 'o')
call('HSET', it, 'm', ARGV[7], 'x', ARGV[8])
if ARGV[5] ~= '0' then
  call('HINCRBY', it, 'n', 1)
  call('HDEL', it, 'v')
  if ARGV[5] == '2' then
    call('HINCRBY', it, 'u', 1)
  else
    call('HDEL', it, 'u')
  end
end
local news = fold(it)
if wait <= 0 or news == '2' or (news and not held) then
  enqueue(k, it)
  return 1
end
call('HSET', it, 's', 'w')
call('ZADD', DUE, text(now() + wait), k)
if held then
  call('HSET', it, 'h', '1')
  call('SADD', heldkey(k), k)
end
return 1
