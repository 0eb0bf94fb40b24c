-- asynq's enqueue, with the job's record in the same step.
-- KEYS: task, pending
-- ARGV: msg, id, now ns (all three asynq's) | prefix, bound (0: none), then the
--       record's fields, or none when the record is there and lost its task
-- Returns {1 stored | 0 known already | -1 full, jobs pending}
local id, p, bound = ARGV[2], ARGV[4], tonumber(ARGV[5])
local n = redis.call('LLEN', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, n} end
if #ARGV > 5 and redis.call('EXISTS', p .. 'job:' .. id) == 1 then return {0, n} end
if bound > 0 and n >= bound then return {-1, n} end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])
redis.call('LPUSH', KEYS[2], id)
if #ARGV > 5 then
  local fields = {}
  for i = 6, #ARGV do fields[#fields + 1] = ARGV[i] end
  create(p, id, fields)
  changed(p, id)
end
if n == 0 then redis.call('PUBLISH', p .. 'wake', '') end
return {1, n + 1}
