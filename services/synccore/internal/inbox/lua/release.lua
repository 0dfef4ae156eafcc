-- ARGV: prefix, connector, most items. Returns how many were made ready.
local keys = call('SPOP', P .. 'held:' .. ARGV[2], ARGV[3])
local woken = 0
for _, k in ipairs(keys) do
  local it = item(k)
  local o = call('HMGET', it, 's', 'h')
  if o[1] == 'w' and o[2] then
    wake(k, it)
    woken = woken + 1
  end
end
return woken
