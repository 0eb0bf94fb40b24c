-- asynq's enqueue, with the job's record in the same step. Several jobs of one lane are
-- submitted together (see Shared in internal/pipeline).
-- KEYS: pending; of each job: task
-- ARGV: prefix, bound (0: none); of each job: id, msg, ms to its deadline (0: none), how
--   many arguments its record's fields are (0: the record is there and lost its task),
--   the fields
-- Returns for each job {1 stored | 0 known already | -1 full | -2 it would not begin in
--   time, jobs pending, ms that it would wait, of one stored: whether the lane rests}
local p, bound = ARGV[1], tonumber(ARGV[2])
local n = redis.call('LLEN', KEYS[1])
local empty, inline, deferred, apart, rests, newest = n == 0, false, {}, nil, nil, nil

-- known says whether a job was submitted before. Ids lie in order of time, so that one
-- which is later than all that have ended is none of them.
local function known(id)
  if not newest then
    newest = ''
    for _, state in ipairs({'succeeded', 'failed', 'canceled'}) do
      local last = redis.call('ZRANGE', p .. 'ended:' .. state, -1, -1)[1]
      if last and string.sub(last, 1, 36) > newest then newest = string.sub(last, 1, 36) end
    end
  end
  return id <= newest and ended(p, id) ~= nil
end

local function submit(task, id, msg, within, fields)
  local key, fresh = p .. 'job:' .. id, #fields > 0
  if fresh then
    local found = redis.call('EXISTS', task, key) > 0
    if found and (redis.call('EXISTS', key) == 1 or redis.call('HGET', task, 'state') ~= 'archived') or known(id) then
      return {0, n, 0}
    end
    if found then -- it was archived by hand, and its record is gone
      redis.call('ZREM', string.sub(KEYS[1], 1, -8) .. 'archived', id)
      redis.call('HDEL', p .. 'hands', id)
      redis.call('DEL', task)
    end
  elseif redis.call('EXISTS', task) == 1 or redis.call('HGET', key, 'state') ~= 'queued' then
    return {0, n, 0} -- a task is made anew only for a job that waits: it may have been canceled since
  end
  local wait = 0
  if fresh and n > 0 then
    if not apart then
      local f = redis.call('HMGET', p .. 'flow', 'span', 'tasks')
      apart = msPerTask(f[1], f[2])
    end
    wait = n * apart
    if bound > 0 and n >= bound then return {-1, n, wait} end
    if within > 0 and wait > within then return {-2, n, wait} end
  end
  if bound > 0 and n >= bound then return {-1, n, wait} end
  redis.call('HSET', task, 'msg', msg, 'state', 'pending', 'pending_since', nanos())
  if fresh or not redis.call('LPOS', KEYS[1], id) then
    add(deferred, 'pending', id)
    n = n + 1
  else
    inline = true -- the job that lost its task stands there still
  end
  if fresh then
    create(p, id, fields, deferred)
    if within ~= 0 then setDeadline(p, id, task, clock() + within) end
  else
    redis.call('SREM', p .. 'evicted', id)
    local at = redis.call('HGET', key, 'deadline')
    if at then setDeadline(p, id, task, tonumber(at)) end
  end
  rests = rests or redis.call('EXISTS', p .. 'paused', p .. 'held', string.sub(KEYS[1], 1, -8) .. 'paused')
  return {1, n, wait, rests}
end
local out, a = {}, 3
for i = 2, #KEYS do
  local last = a + 3 + tonumber(ARGV[a + 3])
  out[i - 1] = submit(KEYS[i], ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2]), {unpack(ARGV, a + 4, last)})
  a = last + 1
end
flush(deferred, 'pending', 'LPUSH', KEYS[1])
flush(deferred, 'queued', 'ZADD', p .. 'jobs:queued', 0)
if inline or empty and deferred.pending then redis.call('PUBLISH', p .. 'wake', '') end
return out
