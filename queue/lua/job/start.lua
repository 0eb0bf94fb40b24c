-- A worker begins a job that has a record.
-- KEYS: record, task   ARGV: prefix, id, owner
-- Returns {'run' | 'final' | 'canceled' | 'lost' | 'none', attempt}; lost when the
-- job is no longer this worker's to begin
local p, id = ARGV[1], ARGV[2]
local v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'attempts', 'started', 'waiting', 'quiet')
local state = v[1]
if not state and redis.call('HEXISTS', p .. 'hands', id) == 1 and revive(p, id) then
  v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'attempts', 'started', 'waiting', 'quiet')
  state = v[1]
end
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[3] then return {'lost', 0} end
if not state then return {ended(p, id) and 'final' or 'none', 1} end
if v[2] == '1' then return {'canceled', tonumber(v[3] or '0')} end
if state == 'running' and redis.call('HGET', KEYS[2], 'counted') == ARGV[3] then
  redis.call('HDEL', KEYS[2], 'counted')
  return {'run', tonumber(v[3])}
end
if state == 'running' then -- its former worker never ended it
  move(p, id, 'queued')
  changed(p, id)
end
local attempt = tonumber(v[3]) + 1
begin(p, id, attempt, {v[4], v[5], v[6]})
return {'run', attempt}
