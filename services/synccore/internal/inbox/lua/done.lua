-- ARGV: prefix, item key, token. Returns 1, or 0 for a stale token.
local k = ARGV[2]
local it = item(k)
if not holds(it, ARGV[3]) then
  return 0
end
settle(k, it)
return 1
