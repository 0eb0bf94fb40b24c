-- Lets the jobs of a lane that rest for one reason run now: the reason is gone.
-- KEYS: retry, pending   ARGV: task prefix, prefix, reason, most to look at
-- Returns how many wait in line again.
local n = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[4]) - 1)) do
  local key = ARGV[1] .. id
  if redis.call('HGET', ARGV[2] .. 'job:' .. id, 'waiting') == ARGV[3] and redis.call('EXISTS', key) == 1 then
    redis.call('ZREM', KEYS[1], id)
    redis.call('LPUSH', KEYS[2], id)
    redis.call('HSET', key, 'state', 'pending', 'pending_since', nanos())
    n = n + 1
  end
end
if n > 0 then redis.call('PUBLISH', ARGV[2] .. 'wake', '') end
return n
