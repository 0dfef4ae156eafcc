-- KEYS: account, a hash: the units of each step by its number, factor, heard, pause.
-- ARGV: limit, window in ms, steps, background share, spent, wanted, used as the vendor
-- said or '', 1 if that is exact, pause in ms to tell, least and most factor, trust in
-- ms. Returns {granted, wait in ms, used, pause left in ms}; fractions as text.
-- The arithmetic is that of account.go.
local limit, window, steps = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local share, spent, wanted = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local told, exact, pause = tonumber(ARGV[7]), ARGV[8] == '1', tonumber(ARGV[9])
local least, most, trust = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local width = math.max(1, math.floor(window / steps))
local present = math.floor(now / width)

local units, sum, factor, heard, stop = {}, 0, 1, 0, 0
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
    local n = tonumber(name)
    if n < present - steps then
      redis.call('HDEL', KEYS[1], name)
    else
      units[n] = value
      sum = sum + value
    end
  end
end
if now - heard > trust then
  factor = 1
end

local function add(n)
  units[present] = (units[present] or 0) + n
  sum = sum + n
end
add(spent)

if told and (exact or told > sum * factor) then
  if sum < limit / 20 then
    local more = told / factor - sum
    if more > 0 then
      add(more)
    end
  else
    local wrong = told / sum
    factor = math.min(math.max(wrong, least), most)
    heard = now
    redis.call('HSET', KEYS[1], 'factor', string.format('%.9g', factor), 'heard', string.format('%.0f', now))
    if wrong > most then
      add(told / most - sum)
    end
  end
end

local granted, wait = 0, 0
if wanted > 0 then
  local room = limit * share / factor - sum
  if room >= wanted / 4 then
    granted = math.min(wanted, room)
    add(granted)
  else
    local missing = wanted / 4 - room
    wait = window
    for n = present - steps, present do
      missing = missing - (units[n] or 0)
      if missing <= 0 then
        wait = (n + steps + 1) * width - now
        break
      end
    end
  end
end

if units[present] > 0 then
  redis.call('HSET', KEYS[1], string.format('%.0f', present), string.format('%.9g', units[present]))
end
if pause > 0 and now + pause > stop then
  stop = now + pause
  redis.call('HSET', KEYS[1], 'pause', string.format('%.0f', stop))
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(trust, window, stop - now)))
return {string.format('%.9g', granted), math.ceil(wait), string.format('%.9g', sum * factor), math.max(0, math.ceil(stop - now))}
