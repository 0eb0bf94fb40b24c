-- Drops waiting prompts whose caller's wait has run out without a word of the
-- process that asked: it is gone, and nobody would read the answer.
-- KEYS: pending   ARGV: prefix, task prefix, most to look at
-- Returns how many were dropped.
local p, n = ARGV[1], 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], -tonumber(ARGV[3]), -1)) do
  local key = ARGV[2] .. id
  local to = redis.call('HGET', key, 'until')
  if to and clock() > tonumber(to) and redis.call('EXISTS', p .. 'job:' .. id) == 0 then
    redis.call('LREM', KEYS[1], -1, id)
    redis.call('DEL', key)
    n = n + 1
  end
end
if n > 0 then redis.call('HINCRBY', p .. 'repairs', 'expired_waiter', n) end
return n
