-- Takes ended jobs off the indexes once their record has faded.
-- KEYS: ends   ARGV: prefix   Returns how many were taken.
local p = ARGV[1]
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(clock()), 'LIMIT', '0', '500')
if #ids == 0 then return 0 end
for _, index in ipairs({'ends', 'jobs', 'jobs:succeeded', 'jobs:failed', 'jobs:canceled'}) do
  redis.call('ZREM', p .. index, unpack(ids))
end
for _, id in ipairs(ids) do redis.call('DEL', p .. 'job:' .. id, p .. 'events:' .. id) end
redis.call('HINCRBY', p .. 'dropped', 'jobs', #ids)
return #ids
