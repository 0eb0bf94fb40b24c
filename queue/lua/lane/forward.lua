-- Queues tasks that rest: those whose time has come, by the clock of Redis since that of
-- this host may be wrong, or at once those whose jobs rest for a reason that is gone.
-- KEYS: retry, pending   ARGV: task prefix, prefix, reason (empty: those that are due)
-- Returns how many were queued.
local tasks, p, reason, n = ARGV[1], ARGV[2], ARGV[3], 0
local ids
if reason == '' then
  ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', math.floor(clock() / 1000), 'LIMIT', 0, 100)
else
  ids = redis.call('ZRANGE', KEYS[1], 0, 999)
end
for _, id in ipairs(ids) do
  if reason == '' or redis.call('HGET', p .. 'job:' .. id, 'waiting') == reason then
    if redis.call('EXISTS', tasks .. id) == 1 then
      redis.call('ZREM', KEYS[1], id)
      redis.call('LPUSH', KEYS[2], id)
      redis.call('HSET', tasks .. id, 'state', 'pending', 'pending_since', nanos())
      n = n + 1
    elseif reason == '' then
      redis.call('ZREM', KEYS[1], id)
      if redis.call('EXISTS', p .. 'job:' .. id) == 1 then redis.call('SADD', p .. 'evicted', id) end -- see orphans.lua
    end
  end
end
if n > 0 then redis.call('PUBLISH', p .. 'wake', '') end
return n
