-- ARGV: prefix. Returns {queued live, queued background, running, waiting, dead,
-- ms since the oldest stored hint arrived, ms the next live item has been ready}. An item
-- that only has to wait is not old: nothing failed, and nobody could hurry it.
local t = now()
local oldest, ready = 0, 0
local head = call('ZRANGE', AGE, 0, 99, 'WITHSCORES')
for i = 1, #head, 2 do
  local f = call('HMGET', item(head[i]), 's', 'n', 'h')
  if f[1] ~= 'w' or f[3] == '1' or (f[2] and f[2] ~= '0') then
    oldest = math.max(0, t - tonumber(head[i + 1]))
    break
  end
end
local first = call('XRANGE', LIVE, '-', '+', 'COUNT', 1)
if first[1] then
  ready = math.max(0, t - tonumber(string.match(first[1][1], '^%d+')))
end
return {call('XLEN', LIVE), call('XLEN', BACK), call('ZCARD', RUN), call('ZCARD', DUE),
  call('ZCARD', P .. 'dead'), oldest, ready}
