-- Shared by every script that changes a job's record. p is the lane's prefix
-- of our own keys; `allows` (written by Go from job.State.Allows) stands above.
-- A job that has not ended is a hash. An ended job is one member of a sorted set
-- (see conclude and ended.go).

-- Seconds that an outbox outlives its last event. Its other limits stand above.
local BOX_LIFE = 172800

-- Seconds for which the stream of an ended job is kept for its followers.
local STREAM_LIFE = 60

-- The last two events of a job have these sequence numbers, so their ids are known even
-- if the job has no stream.
local LAST_STATE, LAST_RESULT = '-99998', '-99999'

-- Bytes that a member of a sorted set takes in addition to its own.
local MEMBER_COST = 150

-- addToOutbox puts an event into the job's outbox if its webhook wants it (see
-- package outbox). Progress that still waits there is replaced by newer progress.
local function addToOutbox(p, id, at, kind, data)
  local v = redis.call('HMGET', p .. 'hook:' .. id, 'events', 'progress')
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

-- event notifies the followers of a job. The stream is written only for followers (see
-- follow.lua), for webhooks, and if `keep` is set; its length is limited. A record that
-- is `quiet` has neither followers nor a webhook, so its events are skipped. Nearly all
-- jobs stay quiet.
local function event(p, id, kind, data, keep, at)
  local stream, entry = p .. 'events:' .. id, nil
  local hook = redis.call('EXISTS', p .. 'hook:' .. id) == 1
  if keep or hook or redis.call('EXISTS', stream) == 1 then
    entry = redis.pcall('XADD', stream, 'MAXLEN', '~', MOST_EVENTS, at or '*', 't', kind, 'd', data)
    if type(entry) ~= 'string' then -- the clock of Redis was put back
      entry = redis.call('XADD', stream, 'MAXLEN', '~', MOST_EVENTS, '*', 't', kind, 'd', data)
    end
  end
  redis.call('PUBLISH', p .. 'event:' .. id, kind)
  if hook then addToOutbox(p, id, entry, kind, data) end
end

-- ended finds the member of an ended job, and its state; nil if there is none.
local function ended(p, id)
  for _, state in ipairs({'succeeded', 'failed', 'canceled'}) do
    local found = redis.call('ZRANGEBYLEX', p .. 'ended:' .. state, '[' .. id, '[' .. id .. '~', 'LIMIT', 0, 1)
    if found[1] then return found[1], state end
  end
  return nil
end

-- move is the only writer of the state of a job that has not ended. It returns the state
-- before, or false if the state machine forbids the step.
local function move(p, id, to)
  local key = p .. 'job:' .. id
  local from = redis.call('HGET', key, 'state')
  if not from or not (allows[from] and allows[from][to]) then return false end
  redis.call('HSET', key, 'state', to)
  redis.call('ZREM', p .. 'jobs:' .. from, id)
  redis.call('ZADD', p .. 'jobs:' .. to, 0, id)
  return from
end

-- stateEvent is the data of a state event.
local function stateEvent(state, attempts, waiting)
  if waiting and waiting ~= '' then waiting = cjson.encode(waiting) else waiting = 'null' end
  return '{"state":"' .. state .. '","attempts":' .. (attempts or '0') .. ',"waiting_for":' .. waiting .. '}'
end

-- changed announces the state that the record is in now.
local function changed(p, id, keep)
  local v = redis.call('HMGET', p .. 'job:' .. id, 'state', 'attempts', 'waiting', 'quiet')
  if v[4] and not keep then return end
  event(p, id, 'state', stateEvent(v[1], v[2], v[3]), keep)
end

-- A script for several jobs gathers what it adds to and removes from sets and lists, and
-- flush writes it with one command for each: most of the cost of a small command is that
-- Lua calls it. `deferred` holds the arguments by name.
local function add(deferred, name, value)
  local list = deferred[name]
  if not list then
    list = {}
    deferred[name] = list
  end
  list[#list + 1] = value
end

-- flush runs a command with what was gathered under a name; ZADD with the given score.
local function flush(deferred, name, command, key, score)
  if not deferred[name] then return end
  local all = {key}
  for _, value in ipairs(deferred[name]) do
    if score then all[#all + 1] = score end
    all[#all + 1] = value
  end
  redis.call(command, unpack(all))
end

-- create writes a new record in state queued and announces it; fields alternate
-- name and value and begin with the kind. The fields of a webhook have a key of their
-- own, because a webhook outlives its job's record. Scripts for several jobs pass `deferred` (see flush).
local function create(p, id, fields, deferred)
  local record, hook = {}, {}
  for i = 1, #fields, 2 do
    local into = string.sub(fields[i], 1, 5) == 'hook_' and hook or record
    into[#into + 1] = into == hook and string.sub(fields[i], 6) or fields[i]
    into[#into + 1] = fields[i + 1]
  end
  -- The history of a train job counts, and such jobs are few.
  local train = fields[2] == 'train'
  if #hook == 0 and not train then
    record[#record + 1] = 'quiet'
    record[#record + 1] = '1'
  end
  redis.call('HSET', p .. 'job:' .. id, 'state', 'queued', 'attempts', '0', unpack(record))
  if #hook > 0 then redis.call('HSET', p .. 'hook:' .. id, unpack(hook)) end
  redis.call('ZADD', p .. 'jobs:queued', 0, id)
  if #hook > 0 or train then event(p, id, 'state', stateEvent('queued', '0'), train) end
end

-- begin moves a waiting job to running and counts one more attempt. v is the values of
-- started, waiting and quiet in its record.
local function begin(p, id, attempts, v, deferred)
  local key, now = p .. 'job:' .. id, whole(clock())
  redis.call('HSET', key, 'state', 'running', 'attempts', attempts, 'started', v[1] or now)
  if v[2] then redis.call('HDEL', key, 'waiting') end
  if deferred then
    add(deferred, 'begun', id)
    add(deferred, 'running', id)
  else
    redis.call('ZREM', p .. 'jobs:queued', id)
    redis.call('ZADD', p .. 'jobs:running', 0, id)
  end
  if not v[3] then event(p, id, 'state', stateEvent('running', attempts)) end
end

-- setDeadline writes the deadline of a job. If it is the first one of the lane, it wakes
-- the reconciler.
local function setDeadline(p, id, task, at)
  at = whole(at)
  redis.call('HSET', p .. 'job:' .. id, 'deadline', at)
  redis.call('HSET', task, 'deadline', at)
  redis.call('ZADD', p .. 'deadlines', at, id)
  if redis.call('ZRANGE', p .. 'deadlines', 0, 0)[1] == id then redis.call('PUBLISH', p .. 'deadline', '') end
end

-- readRecord reads the fields that conclude and its callers need.
local function readRecord(p, id)
  local v = redis.call('HMGET', p .. 'job:' .. id, 'state', 'attempts', 'kind', 'created', 'started', 'topic', 'progress',
    'owner', 'quiet', 'deadline', 'cancel')
  return {state = v[1], attempts = v[2], kind = v[3], created = v[4], started = v[5], topic = v[6], progress = v[7],
    owner = v[8], quiet = v[9], deadline = v[10], cancel = v[11] == '1'}
end

-- conclude moves a job to its final state: its record becomes one member of the
-- sorted set of that state, the id first, so that members lie in order of time:
--   id kind attempts created started finished #topic #owner #error #progress LF
--   topic owner error progress result
-- started and finished are ms after created, '-' for never. v is the result of readRecord
-- if it was called already. progress and began are used if the record lacks them. With
-- `deferred` (see flush) the caller writes the sets; deferred.silent says that none of
-- its jobs has a stream.
local function conclude(p, id, to, result, err, v, progress, began, deferred)
  local key = p .. 'job:' .. id
  v = v or readRecord(p, id)
  local from = v.state
  if not from or not (allows[from] and allows[from][to]) then return false end
  local function after(ms)
    if not ms or ms == '' then return '-' end
    return whole(tonumber(ms) - tonumber(v.created))
  end
  local now = whole(clock())
  local topic, owner = v.topic or '', v.owner or ''
  if not progress or progress == '' then progress = v.progress or '' end
  local member = id .. table.concat({
    string.sub(v.kind, 1, 1), v.attempts, v.created, after(v.started or began), after(now), #topic, #owner, #err, #progress,
  }, ' ') .. '\n' .. topic .. owner .. err .. progress .. result
  if deferred then
    add(deferred, to, member)
    deferred.bytes = (deferred.bytes or 0) + #member + MEMBER_COST
    add(deferred, 'gone', key)
    add(deferred, 'was ' .. from, id)
  else
    redis.call('ZADD', p .. 'ended:' .. to, 0, member)
    redis.call('INCRBY', p .. 'ended:bytes', #member + MEMBER_COST)
    redis.call('DEL', key)
    redis.call('ZREM', p .. 'jobs:' .. from, id)
  end
  if v.deadline then redis.call('ZREM', p .. 'deadlines', id) end
  -- A follower of an older version leaves a record quiet.
  if v.quiet and (deferred and deferred.silent or redis.call('EXISTS', p .. 'events:' .. id) == 0) then return true end
  event(p, id, 'state', stateEvent(to, v.attempts), false, now .. LAST_STATE)
  event(p, id, 'result', '', false, now .. LAST_RESULT)
  redis.call('EXPIRE', p .. 'events:' .. id, STREAM_LIFE)
  redis.call('EXPIRE', p .. 'hook:' .. id, BOX_LIFE)
  return true
end

-- revive undoes the end of a job that an operator archived and then ran again. Nothing
-- else leaves a final state. It returns false for any other job.
local function revive(p, id)
  local spec = redis.call('HGET', p .. 'hands', id)
  if not spec or spec == '' then return false end
  local member, state = ended(p, id)
  if state ~= 'failed' then return false end
  local attempts, created = string.match(member, '^%S+ (%d+) (%d+)', 37)
  redis.call('ZREM', p .. 'ended:failed', member)
  redis.call('DECRBY', p .. 'ended:bytes', #member + MEMBER_COST)
  redis.call('HDEL', p .. 'hands', id)
  local decoded = cjson.decode(spec)
  local fields = {'kind', decoded.kind, 'spec', spec, 'created', created}
  for _, name in ipairs({'topic', 'owner'}) do
    if decoded[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = decoded[name]
    end
  end
  create(p, id, fields)
  redis.call('HSET', p .. 'job:' .. id, 'attempts', attempts)
  -- Its earlier followers still listen.
  if redis.call('EXISTS', p .. 'hook:' .. id, p .. 'events:' .. id) > 0 then
    redis.call('HDEL', p .. 'job:' .. id, 'quiet')
    changed(p, id)
  end
  return true
end
