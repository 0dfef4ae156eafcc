-- ARGV: prefix, item key, token, visibility in ms. Returns 1, or 0 for a stale token.
local k = ARGV[2]
if not holds(item(k), ARGV[3]) then
  return 0
end
call('ZADD', RUN, text(now() + ARGV[4]), k)
return 1
