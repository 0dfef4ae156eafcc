-- What the scripts of the inbox share; it is put before each of them.
-- KEYS: live stream, background stream, due set, running set, age set.
-- ARGV[1]: the prefix of every key, which holds the hash tag, so that the keys of
-- single items, named below, lie in the slot of KEYS.
local P = ARGV[1]
local LIVE, BACK, DUE, RUN, AGE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call = redis.call

-- An item is a hash:
--   s  state: q queued, r running, w waiting       e  its entry in a stream (q)
--   k  token, o replica (r)                         h  '1': held (w)
--   n  counted failed tries   m  reason of the last failure   x  its trace id
--   u  how many of the last counted tries failed unexpectedly, one after the other
--   v  how many holders vanished, when the last one did, and its token
-- and up to two groups of coalesced hints: W is what is served next or now, P what
-- came in while W is being served (r only). Each group has, behind w or p:
--   i  public id   f  first hint   l  last hint, '' for one   p  newest payload   c  count
--   r  greatest revision, 0 if any hint has none   t  traceparents
--   b  '1': all are background, '2': any is forced, else '0'   a  ms of arrival
local W = {'wi', 'wf', 'wl', 'wp', 'wc', 'wr', 'wt', 'wb', 'wa'}
local Q = {'pi', 'pf', 'pl', 'pp', 'pc', 'pr', 'pt', 'pb', 'pa'}
local TRACES = 32 * 56 - 1 -- 32 traceparents of 55 characters with a space between

local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(n) return string.format('%.0f', n) end
local function item(k) return P .. 'item:' .. k end
local function connector(k) return string.match(k, '^[^/]*') end
local function heldkey(k) return P .. 'held:' .. connector(k) end

-- An id is remembered in the set idkey(window) .. bucket until idend, see seen.go.
local function idkey(window) return P .. 'ids:' .. text(window) .. ':' end
local function idend(window, half) return text((window + 3) * half) end

local function read(it, names)
  local g = call('HMGET', it, unpack(names))
  return g[5] and g or nil
end

local function write(it, names, g, ...)
  local list = {...}
  local more = #list
  for n = 1, #names do
    list[more + 2 * n - 1], list[more + 2 * n] = names[n], g[n]
  end
  call('HSET', it, unpack(list))
end

-- join adds the hints of group g to a group of the item.
local function join(it, names, g)
  local o = call('HMGET', it, names[5], names[6], names[7], names[8])
  if not o[1] then
    return write(it, names, g)
  end
  local traces = o[3]
  if traces == '' then
    traces = g[7]
  elseif g[7] ~= '' and #traces < TRACES then
    traces = string.sub(traces .. ' ' .. g[7], 1, TRACES)
  end
  local background = '0'
  if o[4] == '2' or g[8] == '2' then
    background = '2'
  elseif o[4] == '1' and g[8] == '1' then
    background = '1'
  end
  local revision = '0'
  if o[2] ~= '0' and g[6] ~= '0' then
    revision = text(math.max(tonumber(o[2]), tonumber(g[6])))
  end
  local last = g[3] ~= '' and g[3] or g[2]
  call('HSET', it, names[3], last, names[5], text(o[1] + g[5]), names[6], revision,
    names[7], traces, names[8], background)
  if g[4] ~= '' then
    call('HSET', it, names[4], g[4])
  end
end

-- fold lets the hints that came while the item ran join those that it ran for, and
-- returns their b, or false if none came.
local function fold(it)
  local g = read(it, Q)
  if not g then
    return false
  end
  join(it, W, g)
  call('HDEL', it, unpack(Q))
  return g[8]
end

-- enter puts the item into a ready stream and returns its entry.
local function enter(k, background)
  return call('XADD', background == '1' and BACK or LIVE, '*', 'k', k)
end

-- enqueue makes the item ready in the lane of its hints.
local function enqueue(k, it)
  call('HSET', it, 's', 'q', 'e', enter(k, call('HGET', it, 'wb')))
end

-- begin stores an item that was idle and makes it ready.
local function begin(k, it, g)
  write(it, W, g, 's', 'q', 'n', '0', 'e', enter(k, g[8]))
  call('ZADD', AGE, g[9], k)
end

-- look reads what add must know of an item; its first value is false for an idle one.
local function look(it)
  return call('HMGET', it, 's', 'wb', 'e', 'h')
end

-- unqueue takes entries out of a stream; an empty stream does not stay behind.
local function unqueue(lane, entries)
  call('XDEL', lane, unpack(entries))
  if call('XLEN', lane) == 0 then
    call('DEL', lane)
  end
end

-- wake makes a waiting item ready.
local function wake(k, it)
  call('ZREM', DUE, k)
  if call('HDEL', it, 'h') == 1 then
    call('SREM', heldkey(k), k)
  end
  enqueue(k, it)
end

-- add brings a group of hints to an item, whatever its state, which o is a look at. A
-- forced one wakes even a held item.
local function add(k, it, o, g)
  if not o[1] then
    return begin(k, it, g)
  end
  if o[1] == 'r' then
    return join(it, Q, g)
  end
  join(it, W, g)
  if o[1] == 'q' and o[2] == '1' and g[8] ~= '1' then
    unqueue(BACK, {o[3]})
    enqueue(k, it)
  elseif o[1] == 'w' and (g[8] == '2' or not o[4]) then
    wake(k, it)
  end
end

-- settle ends what the item was running for: it is forgotten, or made ready for the
-- hints that came meanwhile.
local function settle(k, it)
  call('ZREM', RUN, k)
  local g = read(it, Q)
  if not g then
    call('DEL', it)
    call('ZREM', AGE, k)
    return
  end
  call('DEL', it)
  begin(k, it, g)
end

-- holds tells whether the item runs under that token; one that does not run has none.
-- A holder that counted as vanished and speaks all the same was cut off for a while: the
-- item did not kill it.
local function holds(it, token)
  if call('HGET', it, 'k') == token then
    return true
  end
  if string.match(call('HGET', it, 'v') or '', '%d+$') == token then
    call('HDEL', it, 'v')
  end
  return false
end

-- lapse counts a holder that vanished. Those of longer ago are forgotten: an item that
-- lives long (an approval takes days) meets some killed processes by chance, while one
-- that kills them does so as soon as it is served again.
local MEMORY = 15 * 60 * 1000
local function lapse(it, t)
  local n, at = string.match(call('HGET', it, 'v') or '', '^(%d+) (%d+)')
  n = n and t - at <= MEMORY and n + 1 or 1
  call('HSET', it, 'v', text(n) .. ' ' .. text(t) .. ' ' .. call('HGET', it, 'k'))
end

-- sweep makes ready what is due, and what a worker took and did not finish in time;
-- the latter counts as a failed try and as a lapse, so that an item that kills its worker
-- is given up in the end. At most limit items of each.
local function sweep(t, limit)
  for _, k in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', text(t), 'LIMIT', 0, limit)) do
    wake(k, item(k))
  end
  for _, k in ipairs(call('ZRANGEBYSCORE', RUN, '-inf', text(t), 'LIMIT', 0, limit)) do
    local it = item(k)
    call('ZREM', RUN, k)
    fold(it)
    lapse(it, t)
    call('HDEL', it, 'k', 'o')
    call('HINCRBY', it, 'n', 1)
    call('HSET', it, 'm', 'The worker that served it vanished or was paused for too long.')
    enqueue(k, it)
  end
end
