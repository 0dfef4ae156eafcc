-- Brings ids into sets that layout 1 remembered each by a key of its own.
-- ARGV: prefix, half the dedup window in ms, then for each: what follows 'seen:' in its
-- key, its bucket, its digest.
local half = tonumber(ARGV[2])
local t = now()
for i = 3, #ARGV, 3 do
  local old, bucket, digest = P .. 'seen:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local left = call('PTTL', old)
  if left > 0 then
    -- It was stored when all of its time was left.
    local window = math.floor((t - math.max(0, 2 * half - left)) / half)
    local set = idkey(window) .. bucket
    call('SADD', set, digest)
    call('PEXPIREAT', set, idend(window, half))
  end
  call('UNLINK', old)
end
return 1
