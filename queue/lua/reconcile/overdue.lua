-- Fails the jobs whose deadline has passed while they waited. One that runs is
-- its worker's to end.
-- KEYS: deadlines, pending, scheduled, retry
-- ARGV: prefix, task prefix, error, most jobs to look at
-- Returns {ms to the next deadline (-1: none), id, …}
local p = ARGV[1]
local out = {-1}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(clock()), 'LIMIT', '0', ARGV[4])) do
  local state = redis.call('HGET', p .. 'job:' .. id, 'state')
  if state == 'running' then
    redis.call('ZADD', KEYS[1], whole(clock() + 1000), id)
  elseif state == 'queued' then
    redis.call('LREM', KEYS[2], -1, id)
    redis.call('ZREM', KEYS[3], id)
    redis.call('ZREM', KEYS[4], id)
    redis.call('DEL', ARGV[2] .. id)
    conclude(p, id, 'failed', '', ARGV[3])
    redis.call('HINCRBY', p .. 'repairs', 'overdue', 1)
    out[#out + 1] = id
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then out[1] = math.max(0, math.ceil(tonumber(first[2]) - clock())) end
return out
