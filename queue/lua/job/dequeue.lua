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
local out, n, deferred = {}, 0, {}
local most, waiting = tonumber(ARGV[4]), redis.call('LLEN', KEYS[1])
-- activate makes up to `many` of the first tasks active and returns their ids.
local function activate(many)
  many = math.min(many, waiting)
  waiting = waiting - many
  if many == 1 then return {redis.call('RPOPLPUSH', KEYS[1], KEYS[3])} end
  local ids, last = {}, redis.call('LRANGE', KEYS[1], -many, -1)
  for i = #last, 1, -1 do ids[#ids + 1] = last[i] end
  redis.call('LTRIM', KEYS[1], 0, -many - 1)
  redis.call('LPUSH', KEYS[3], unpack(ids))
  return ids
end
local function take(id)
  local key = ARGV[2] .. id
  local v = redis.call('HMGET', key, 'msg', 'deadline', 'until', 'reply', 'missed', 'state')
  if v[6] and v[6] ~= 'pending' then
    -- Redis once dropped the task, and it was made anew beside this entry of it.
    redis.call('LREM', KEYS[3], 1, id)
    return
  end
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
    return
  end
  redis.call('HSET', key, 'state', 'active', 'owner', ARGV[3])
  if v[5] then redis.call('HDEL', key, 'missed') end
  add(deferred, 'lease', id)
  n = n + 1
  out[#out + 1] = id
  out[#out + 1] = v[1]
  out[#out + 1] = v[2] and whole(tonumber(v[2]) - clock()) or ''
  local attempt = ''
  if ARGV[6] == '1' and not v[4] then
    local r = redis.call('HMGET', p .. 'job:' .. id, 'state', 'cancel', 'attempts', 'started', 'waiting', 'quiet')
    if r[1] == 'queued' and r[2] ~= '1' then
      attempt = tostring(tonumber(r[3]) + 1)
      begin(p, id, attempt, {r[4], r[5], r[6]}, deferred)
    end
  end
  out[#out + 1] = attempt
end
local looked = 0
while n < most and waiting > 0 and looked < 1000 do
  for _, id in ipairs(activate(most - n)) do
    looked = looked + 1
    take(id)
  end
end
if n == 0 then return nil end
flush(deferred, 'lease', 'ZADD', KEYS[4], ARGV[1])
flush(deferred, 'begun', 'ZREM', p .. 'jobs:queued')
flush(deferred, 'running', 'ZADD', p .. 'jobs:running', 0)
recordPace(p, n, waiting)
return out
