-- asynq's forwarding of tasks that have rested, by the clock of Redis: that of
-- this host may be wrong.
-- KEYS: scheduled or retry, pending   ARGV: task prefix, prefix
-- Returns how many were moved.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', math.floor(clock() / 1000), 'LIMIT', '0', '100')
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  if redis.call('EXISTS', ARGV[1] .. id) == 1 then
    redis.call('LPUSH', KEYS[2], id)
    redis.call('HSET', ARGV[1] .. id, 'state', 'pending', 'pending_since', nanos())
  elseif redis.call('EXISTS', ARGV[2] .. 'job:' .. id) == 1 then
    redis.call('SADD', ARGV[2] .. 'evicted', id) -- see orphans.lua
  end
end
return #ids
