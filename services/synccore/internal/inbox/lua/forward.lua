-- ARGV: prefix, item key, token, other item key, public id for it. Returns 1, or 0
-- for a stale token.
local k = ARGV[2]
local it = item(k)
if not holds(it, ARGV[3]) then
  return 0
end
local g = read(it, W)
g[1] = ARGV[5]
settle(k, it)
local to = item(ARGV[4])
add(ARGV[4], to, look(to), g)
return 1
