-- Shared by every script that changes a job's record. p is the lane's prefix
-- of our own keys; `allows` (written by Go from job.State.Allows) stands above.

-- Of the outboxes (their other bounds stand above): seconds that one outlives its
-- last event, ms between two of progress.
local BOX_LIFE, PROGRESS_REST = 172800, 500

-- post puts an event into the job's outbox if its webhook wants it (see
-- outbox.go). Progress that still waits there is replaced by newer progress.
local function post(p, id, at, kind, data)
  local v = redis.call('HMGET', p .. 'job:' .. id, 'hook', 'hook_progress')
  if not v[1] or not string.find(v[1], kind, 1, true) then return end
  local box, due = p .. 'outbox:' .. id, p .. 'outbox'
  local entry = at .. ' ' .. kind .. ' ' .. data
  local n = redis.call('LLEN', box)
  if kind == 'progress' and n > 0 and string.find(redis.call('LINDEX', box, -1), '^%S+ progress ') then
    redis.call('LSET', box, -1, entry)
    return
  end
  if (n == 0 and redis.call('ZCARD', due) >= MOST_BOXES) or (n >= MOST_WAITING and kind ~= 'result') then
    redis.call('HINCRBY', p .. 'posted', 'dropped', 1)
    return
  end
  redis.call('RPUSH', box, entry)
  redis.call('EXPIRE', box, BOX_LIFE)
  if n > 0 then return end
  local from = tonumber(string.match(at, '^%d+'))
  if kind == 'progress' then from = math.max(from, tonumber(v[2] or '0') + PROGRESS_REST) end
  redis.call('ZADD', due, string.format('%.0f', from), id)
  redis.call('PUBLISH', p .. 'outbox', '')
end

-- event tells the followers of a job; the history is bounded.
local function event(p, id, kind, data)
  local at = redis.call('XADD', p .. 'events:' .. id, 'MAXLEN', '~', MOST_EVENTS, '*', 't', kind, 'd', data)
  redis.call('PUBLISH', p .. 'event:' .. id, kind)
  post(p, id, at, kind, data)
end

local function final(state)
  return next(allows[state] or {}) == nil
end

-- move is the only writer of the state of an existing record. It returns the
-- state before, or false when the state machine forbids the step.
local function move(p, id, to)
  local key = p .. 'job:' .. id
  local from = redis.call('HGET', key, 'state')
  if not from or not (allows[from] and allows[from][to]) then return false end
  redis.call('HSET', key, 'state', to)
  redis.call('ZREM', p .. 'jobs:' .. from, id)
  redis.call('ZADD', p .. 'jobs:' .. to, 0, id)
  return from
end

-- changed announces the state that the record is in now.
local function changed(p, id)
  local v = redis.call('HMGET', p .. 'job:' .. id, 'state', 'attempts', 'waiting')
  local waiting = 'null'
  if v[3] and v[3] ~= '' then waiting = cjson.encode(v[3]) end
  event(p, id, 'state', '{"state":"' .. v[1] .. '","attempts":' .. (v[2] or '0') .. ',"waiting_for":' .. waiting .. '}')
end

-- create writes a new record in state queued; fields alternate name and value.
local function create(p, id, fields)
  redis.call('HSET', p .. 'job:' .. id, 'state', 'queued', 'attempts', '0', unpack(fields))
  redis.call('ZADD', p .. 'jobs', 0, id)
  redis.call('ZADD', p .. 'jobs:queued', 0, id)
end

-- due notes when a job's time is up, and wakes who looks for such jobs if it is
-- the first.
local function due(p, id, task, at)
  at = whole(at)
  redis.call('HSET', p .. 'job:' .. id, 'deadline', at)
  redis.call('HSET', task, 'deadline', at)
  redis.call('ZADD', p .. 'deadlines', at, id)
  if redis.call('ZRANGE', p .. 'deadlines', 0, 0)[1] == id then redis.call('PUBLISH', p .. 'deadline', '') end
end

-- conclude moves a record to its final state, dates its end and lets it fade
-- after `retain` seconds.
local function conclude(p, id, to, retain, result, err)
  local key = p .. 'job:' .. id
  if not move(p, id, to) then return false end
  redis.call('HSET', key, 'finished', whole(clock()))
  if result ~= '' then redis.call('HSET', key, 'result', result) end
  if err ~= '' then redis.call('HSET', key, 'error', err) end
  redis.call('HDEL', key, 'waiting', 'cancel')
  redis.call('ZREM', p .. 'deadlines', id)
  changed(p, id)
  event(p, id, 'result', '')
  redis.call('EXPIRE', key, retain)
  redis.call('EXPIRE', p .. 'events:' .. id, retain)
  redis.call('ZADD', p .. 'ends', whole(clock() + tonumber(retain) * 1000), id)
  return true
end
