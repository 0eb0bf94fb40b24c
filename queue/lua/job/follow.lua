-- Somebody follows a job: from here on its events are kept. What happened before
-- is told as the record knows it.
-- KEYS: record, stream   ARGV: prefix, id
-- Returns 1, or 0 when the job has ended or is not known.
local v = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'waiting', 'progress')
if not v[1] then return 0 end
redis.call('HDEL', KEYS[1], 'quiet')
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local function add(kind, data) redis.call('XADD', KEYS[2], '*', 't', kind, 'd', data) end
if v[1] == 'queued' then
  add('state', stateEvent('queued', v[2], v[3]))
else
  add('state', stateEvent('queued', tostring(tonumber(v[2]) - 1)))
  add('state', stateEvent('running', v[2]))
  if v[4] then add('progress', v[4]) end
end
return 1
