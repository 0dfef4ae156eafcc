-- ARGV: prefix, most items, dedup window in ms, number of hints, then for each:
-- dedup key ('' for none), item key, public id, hint, payload, revision,
-- traceparent, lane ('1' background, '2' forced, else '0').
-- Returns for each 1 stored, 0 seen before, -1 refused because the inbox is full.
local cap, window, n = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local stored, t, out = call('ZCARD', AGE), text(now()), {}
for i = 1, n do
  local seen, k, id, hint, payload, revision, trace, background = unpack(ARGV, 8 * i - 3, 8 * i + 4)
  local it = item(k)
  local o = look(it)
  if seen ~= '' and not call('SET', P .. 'seen:' .. seen, '1', 'NX', 'PX', window) then
    out[i] = 0
  elseif not o[1] and stored >= cap then
    if seen ~= '' then
      call('DEL', P .. 'seen:' .. seen)
    end
    out[i] = -1
  else
    add(k, it, o, {id, hint, '', payload, '1', revision, trace, background, t})
    if not o[1] then
      stored = stored + 1
    end
    out[i] = 1
  end
end
return out
