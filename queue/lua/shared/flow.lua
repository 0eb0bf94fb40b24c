-- flow is what is known of how fast a lane's tasks are taken while more wait:
-- of late `tasks` tasks were taken in `span` ms. `at` is when the last were, if
-- some were left; `empty` when a job last met an empty lane, `refused` when one
-- was last refused because the lane stood too long.

-- A standing queue is left alone for so long: a burst passes by itself.
local BURST = 100

-- So long after a refusal it is not: under overload lanes run empty between bursts.
local CALM = 2000

-- So many prompts, waiting and in hand, are no overload at any pace: each still
-- begins within its caller's wait, or is refused for that.
local LEAST = 64

-- How long after its caller's wait a prompt is still kept: the process that asked
-- may be late to say that it goes on by itself.
local GRACE = 5000

-- msPerTask is the ms from one taking to the next, 0 while unknown: a few tasks say
-- nothing.
local function msPerTask(span, tasks)
  tasks = tonumber(tasks or '0')
  if tasks < 32 then return 0 end
  return tonumber(span) / tasks
end

-- recordPace notes that n tasks were taken and `left` still wait.
local function recordPace(p, n, left)
  local key = p .. 'flow'
  local f = redis.call('HMGET', key, 'at', 'span', 'tasks')
  if f[1] then
    -- An outage of all workers says nothing of their speed.
    local gap = math.min(math.max(clock() - tonumber(f[1]), 0), 2000)
    local keep = 1 - math.min(n, 128) / 256
    redis.call('HSET', key, 'span', string.format('%.4f', tonumber(f[2] or '0') * keep + gap),
      'tasks', string.format('%.4f', tonumber(f[3] or '0') * keep + n))
  end
  if left > 0 then
    redis.call('HSET', key, 'at', string.format('%.3f', clock()))
  elseif f[1] then
    redis.call('HDEL', key, 'at')
  end
end
