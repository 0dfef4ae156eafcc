-- ARGV: prefix, most items, half the dedup window in ms, number of hints, then for each:
-- bucket and digest of its id (seen.go; '' for none), item key, public id, hint, payload,
-- revision, traceparent, lane ('1' background, '2' forced, else '0').
-- Returns for each 1 stored, 0 seen before, -1 refused because the inbox is full.
local cap, half, n = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t = now()
local window = math.floor(t / half)
local present, before, last = idkey(window), idkey(window - 1), idkey(window - 2)
local stored, arrived, out = call('ZCARD', AGE), text(t), {}
for i = 1, n do
  local bucket, digest, k, id, hint, payload, revision, trace, background = unpack(ARGV, 9 * i - 4, 9 * i + 4)
  local it = item(k)
  local o = look(it)
  local known = false
  if bucket ~= '' then
    known = call('SISMEMBER', before .. bucket, digest) == 1 or call('SISMEMBER', last .. bucket, digest) == 1 or
      call('SADD', present .. bucket, digest) == 0
  end
  if known then
    out[i] = 0
  elseif not o[1] and stored >= cap then
    if bucket ~= '' then
      call('SREM', present .. bucket, digest)
    end
    out[i] = -1
  else
    if bucket ~= '' and call('SCARD', present .. bucket) == 1 then
      call('PEXPIREAT', present .. bucket, idend(window, half))
    end
    add(k, it, o, {id, hint, '', payload, '1', revision, trace, background, arrived})
    if not o[1] then
      stored = stored + 1
    end
    out[i] = 1
  end
end
return out
