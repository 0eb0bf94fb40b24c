-- asynq's dequeue for as many tasks as there are free slots. It also notes
-- whose they now are, steps over ids whose task is gone (asynq would leave
-- them active for ever), drops prompts that nobody waits for any more, and begins
-- jobs that have a record: a step of its own (start.lua) would cost as much again.
-- KEYS: pending, paused, active, lease
-- ARGV: lease end, task prefix | owner, most tasks, prefix, '1' to begin jobs
-- Returns {id, msg, ms to its deadline or '', its attempt or '' if it is not begun, …},
--   or nil when there is none
local p = ARGV[5]
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HDEL', p .. 'flow', 'at')
  return nil
end
local out, n = {}, 0
local most = tonumber(ARGV[4])
for _ = 1, 1000 do
  if n == most then break end
  local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
  if not id then break end
  local key = ARGV[2] .. id
  local v = redis.call('HMGET', key, 'msg', 'deadline', 'until', 'reply')
  local gone = not v[1]
  if not gone and v[3] and clock() > tonumber(v[3]) and redis.call('EXISTS', p .. 'job:' .. id) == 0 then
    gone = true
    redis.call('HINCRBY', p .. 'repairs', 'expired_waiter', 1)
  end
  if gone then
    redis.call('LREM', KEYS[3], 1, id)
    redis.call('DEL', key)
    -- A record whose task Redis has dropped is queued again (see orphans.lua).
    if redis.call('EXISTS', p .. 'job:' .. id) == 1 then redis.call('SADD', p .. 'evicted', id) end
  else
    redis.call('HSET', key, 'state', 'active', 'owner', ARGV[3])
    redis.call('HDEL', key, 'pending_since', 'missed')
    redis.call('ZADD', KEYS[4], ARGV[1], id)
    n = n + 1
    out[#out + 1] = id
    out[#out + 1] = v[1]
    out[#out + 1] = v[2] and whole(tonumber(v[2]) - clock()) or ''
    local attempt = ''
    if ARGV[6] == '1' and not v[4] then
      local r = redis.call('HMGET', p .. 'job:' .. id, 'state', 'cancel', 'attempts', 'started', 'waiting', 'quiet')
      if r[1] == 'queued' and r[2] ~= '1' then
        attempt = tostring(tonumber(r[3]) + 1)
        begin(p, id, attempt, {r[4], r[5], r[6]})
      end
    end
    out[#out + 1] = attempt
  end
end
if n == 0 then return nil end
took(p, n, redis.call('LLEN', KEYS[1]))
return out
