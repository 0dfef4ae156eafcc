-- ARGV: prefix. Returns {queued live, queued background, running, waiting, dead,
-- ms since the oldest stored hint arrived, ms the next live item has been ready}.
local t = now()
local oldest, ready = 0, 0
local head = call('ZRANGE', AGE, 0, 0, 'WITHSCORES')
if head[2] then
  oldest = math.max(0, t - tonumber(head[2]))
end
local first = call('XRANGE', LIVE, '-', '+', 'COUNT', 1)
if first[1] then
  ready = math.max(0, t - tonumber(string.match(first[1][1], '^%d+')))
end
return {call('XLEN', LIVE), call('XLEN', BACK), call('ZCARD', RUN), call('ZCARD', DUE),
  call('ZCARD', P .. 'dead'), oldest, ready}
