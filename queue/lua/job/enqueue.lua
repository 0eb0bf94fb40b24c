-- asynq's enqueue for a job whose caller waits, with its bounds and the wake in
-- the same step. Nothing of records here: this is the busy path.
-- KEYS: task, pending, active
-- ARGV: msg, id, now ns (all three asynq's) | prefix, bound, ms to its deadline
--   (0: none), reply list, ms that its caller waits, ms that the lane may
--   stand (0: any)
-- Returns {1 stored | 0 known already | -1 full | -2 it would not begin in time
--   | -3 the lane stands too long, jobs pending, ms that it would wait}
local p = ARGV[4]
local n = redis.call('LLEN', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, n, 0} end
local wait = 0
if n == 0 then
  redis.call('HSET', p .. 'flow', 'empty', string.format('%.3f', clock()))
else
  local f = redis.call('HMGET', p .. 'flow', 'span', 'tasks', 'empty', 'refused')
  local apart = msPerTask(f[1], f[2])
  wait = n * apart
  if n >= tonumber(ARGV[5]) then return {-1, n, wait} end
  local left, most = tonumber(ARGV[8]), tonumber(ARGV[9])
  local within = tonumber(ARGV[6])
  if within ~= 0 and within < left then left = within end
  if left > 0 and wait > left then return {-2, n, wait} end
  -- What the workers hold stands in line too; as many may wait behind them in any
  -- case, and LEAST in all: on a slow machine those alone may be more than `most`.
  local now = clock()
  if most > 0 and apart > 0 and (now - tonumber(f[3] or '0') > BURST or now - tonumber(f[4] or '0') < CALM) then
    local held = redis.call('LLEN', KEYS[3])
    if (n + held) * apart > most and n > held and n + held > LEAST then
      redis.call('HSET', p .. 'flow', 'refused', string.format('%.3f', now))
      return {-3, n, wait}
    end
  end
end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', nanos(), 'reply', ARGV[7],
  'until', whole(clock() + tonumber(ARGV[8]) + GRACE))
if ARGV[6] ~= '0' then redis.call('HSET', KEYS[1], 'deadline', whole(clock() + tonumber(ARGV[6]))) end
redis.call('LPUSH', KEYS[2], ARGV[2])
-- Workers drain a lane before they sleep, so only the first of a row wakes them.
if n == 0 then redis.call('PUBLISH', p .. 'wake', '') end
return {1, n + 1, wait}
