-- asynq's enqueue, with the job's record in the same step.
-- KEYS: task, pending, active
-- ARGV: msg, id, now ns (all three asynq's) | prefix, bound (0: none), ms to its
--   deadline (0: none), then the record's fields, or none when the record is
--   there and lost its task
-- Returns {1 stored | 0 known already | -1 full | -2 it would not begin in
--   time, jobs pending, ms that it would wait, of one stored: whether the lane rests}
local id, p, bound, within = ARGV[2], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local key = p .. 'job:' .. id
local n = redis.call('LLEN', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, n, 0} end
local fresh = #ARGV > 6
local state = redis.call('HGET', key, 'state')
if fresh and (state or ended(p, id)) then return {0, n, 0} end
-- A task is made anew only for a job that waits: it may have been canceled since.
if not fresh and state ~= 'queued' then return {0, n, 0} end
local wait = 0
if fresh and n > 0 then
  local f = redis.call('HMGET', p .. 'flow', 'span', 'tasks')
  wait = n * each(f[1], f[2])
  if bound > 0 and n >= bound then return {-1, n, wait} end
  if within > 0 and wait > within then return {-2, n, wait} end
end
if bound > 0 and n >= bound then return {-1, n, wait} end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', nanos())
redis.call('LPUSH', KEYS[2], id)
if fresh then
  local fields = {}
  for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
  create(p, id, fields)
  if within ~= 0 then due(p, id, KEYS[1], clock() + within) end
else
  redis.call('SREM', p .. 'evicted', id)
  local at = redis.call('HGET', key, 'deadline')
  if at then due(p, id, KEYS[1], tonumber(at)) end
end
if n == 0 then redis.call('PUBLISH', p .. 'wake', '') end
local rests = redis.call('EXISTS', p .. 'paused', p .. 'held', string.sub(KEYS[2], 1, -8) .. 'paused')
return {1, n + 1, wait, rests}
