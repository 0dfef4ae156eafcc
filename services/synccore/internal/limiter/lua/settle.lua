-- KEYS: account, a hash: what live calls used in each step as l and its number, what
-- background calls and others used as b and its number; factor, heard, pause.
-- ARGV: limit, step in ms, steps, parts, background share, spent, wanted, used as the
-- vendor said or '', 1 if that is exact, pause in ms to tell, least and most factor,
-- trust in ms. Returns {granted, wait in ms, used, pause left in ms}; fractions as text.
-- The arithmetic is that of account.go.
local limit, width, steps, parts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local share, spent, wanted = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local told, exact, pause = tonumber(ARGV[8]), ARGV[9] == '1', tonumber(ARGV[10])
local least, most, trust = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local present = math.floor(now / width)
local recently = steps / parts - 1

local live, later, sum, factor, heard, stop = {}, {}, 0, 1, 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local name, value = all[i], tonumber(all[i + 1])
  if name == 'factor' then
    factor = value
  elseif name == 'heard' then
    heard = value
  elseif name == 'pause' then
    stop = value
  else
    local n = tonumber(string.sub(name, 2))
    if n < present - steps then
      redis.call('HDEL', KEYS[1], name)
    else
      local kind = later
      if string.sub(name, 1, 1) == 'l' then
        kind = live
      end
      kind[n] = value
      sum = sum + value
    end
  end
end
if now - heard > trust then
  factor = 1
end

local function add(kind, n)
  kind[present] = (kind[present] or 0) + n
  sum = sum + n
end
local function since(kind, first)
  local total = 0
  for n, units in pairs(kind) do
    if n >= first then
      total = total + units
    end
  end
  return total
end
local function room(at)
  local most_of_it = limit * share / factor
  local flow = math.max(since(live, at - steps), parts * since(live, at - recently))
  return math.min(most_of_it - flow - since(later, at - steps), most_of_it / parts - since(later, at - recently))
end
add(live, spent)

if told and (exact or told > sum * factor) then
  if sum < limit / 20 then
    local more = told / factor - sum
    if more > 0 then
      add(later, more)
    end
  else
    local wrong = told / sum
    factor = math.min(math.max(wrong, least), most)
    heard = now
    redis.call('HSET', KEYS[1], 'factor', string.format('%.9g', factor), 'heard', string.format('%.0f', now))
    if wrong > most then
      add(later, told / most - sum)
    end
  end
end

local granted, wait = 0, 0
if wanted > 0 then
  local free = room(present)
  if free >= wanted / 4 then
    granted = math.min(wanted, free)
    add(later, granted)
  else
    wait = width * steps
    for n = present + 1, present + steps do
      if room(n) >= wanted / 4 then
        wait = n * width - now
        break
      end
    end
  end
end

local function keep(letter, units)
  if units and units > 0 then
    redis.call('HSET', KEYS[1], letter .. string.format('%.0f', present), string.format('%.9g', units))
  end
end
keep('l', live[present])
keep('b', later[present])
if pause > 0 and now + pause > stop then
  stop = now + pause
  redis.call('HSET', KEYS[1], 'pause', string.format('%.0f', stop))
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(trust, width * (steps + 1), stop - now)))
return {string.format('%.9g', granted), math.ceil(wait), string.format('%.9g', sum * factor), math.max(0, math.ceil(stop - now))}
