-- ARGV: prefix, a number no token is near, replica, most items, live items taken since
-- the last background one, live items per background one, visibility in ms.
-- Returns {ms until something is due (-1: nothing), live items taken since the last
-- background one, items...}, an item being {group W, n, m, x, key, token, u, lapses}.
local token, replica = tonumber(ARGV[2]), ARGV[3]
local left, run, share = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local t = now()
sweep(t, 100)

local live, back = call('XLEN', LIVE), call('XLEN', BACK)
local takelive, takeback = 0, 0
while left > 0 and takelive + takeback < live + back do
  if takeback < back and (takelive == live or run >= share) then
    takeback, run = takeback + 1, 0
  else
    takelive, run = takelive + 1, run + 1
  end
  left = left - 1
end

local out = {}
local function take(lane, n)
  if n == 0 then
    return
  end
  local entries = {}
  for _, entry in ipairs(call('XRANGE', lane, '-', '+', 'COUNT', n)) do
    local e, k = entry[1], entry[2][2]
    local it = item(k)
    entries[#entries + 1] = e
    local o = call('HMGET', it, 's', 'e', 'n', 'm', 'x', 'u', 'v')
    if o[1] == 'q' and o[2] == e then
      token = token + 1
      call('HSET', it, 's', 'r', 'k', text(token), 'o', replica)
      call('ZADD', RUN, text(t + ARGV[7]), k)
      local row = read(it, W)
      local lapses = string.match(o[7] or '', '^%d+') or '0'
      for _, v in ipairs({o[3], o[4] or '', o[5] or '', k, text(token), o[6] or '0', lapses}) do
        row[#row + 1] = v
      end
      out[#out + 1] = row
    end
  end
  unqueue(lane, entries)
end
take(LIVE, takelive)
take(BACK, takeback)

local next = -1
for _, set in ipairs({DUE, RUN}) do
  local head = call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if head[2] then
    local wait = math.max(0, tonumber(head[2]) - t)
    if next < 0 or wait < next then
      next = wait
    end
  end
end
return {next, run, unpack(out)}
