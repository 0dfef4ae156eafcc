-- ARGV: prefix, connector, most items. Returns how many were made ready.
local keys = call('SPOP', P .. 'held:' .. ARGV[2], ARGV[3])
for _, k in ipairs(keys) do
  wake(k, item(k))
end
return #keys
