-- Drops the oldest records of one final state that are past their time, or as many
-- as ARGV[3] says where they are too many bytes.
-- KEYS: members, their bytes
-- ARGV: prefix, ended before (unix ms), bytes too many (0: none), most to look at
-- Returns how many were dropped, and their bytes.
local p, limit, excess = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local gone, bytes = {}, 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[4]) - 1)) do
  local created, finished = string.match(member, '^%S+ %S+ (%d+) %S+ (-?%d+)', 37)
  if bytes < excess or not created or tonumber(created) + tonumber(finished) < limit then
    gone[#gone + 1] = member
    bytes = bytes + #member + MEMBER_COST
  end
end
if #gone == 0 then return {0, 0} end
redis.call('ZREM', KEYS[1], unpack(gone))
redis.call('DECRBY', KEYS[2], bytes)
redis.call('HINCRBY', p .. 'dropped', 'jobs', #gone)
return {#gone, bytes}
