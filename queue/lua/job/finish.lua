-- Workers end jobs that have records: asynq's acknowledgement, and the last state of
-- each record. Several jobs of one worker end together (see Shared in internal/pipeline).
-- KEYS: active, lease, processed today, processed, failed today, failed; of each job:
--       task, record
-- ARGV: owner, prefix, end of statistics (unix s); of each job: id, state, ms that it
--       ran, result, error, progress
-- Returns for each job 'ok', or 'lost' when it is no longer this worker's to end.
local owner, p = ARGV[1], ARGV[2]
local done, failures = 0, 0
local deferred, streams = {}, {}
for i = 4, #ARGV, 6 do streams[#streams + 1] = p .. 'events:' .. ARGV[i] end
deferred.silent = redis.call('EXISTS', unpack(streams)) == 0
local function finish(task, record, id, to, ran, result, err, progress)
  if redis.call('HGET', task, 'owner') ~= owner or redis.call('LREM', KEYS[1], 0, id) == 0 then
    return 'lost'
  end
  add(deferred, 'lease', id)
  add(deferred, 'gone', task)
  local v = readRecord(p, id)
  -- The client that canceled the job was told that it ends canceled.
  if v.cancel then to, result, err = 'canceled', '', CANCELED end
  done = done + 1
  if to == 'failed' then failures = failures + 1 end
  if not v.state then return 'ok' end
  if v.state == 'queued' and to == 'succeeded' then -- it began while its caller still waited
    move(p, id, 'running')
    redis.call('HINCRBY', record, 'attempts', 1)
    changed(p, id)
    v = readRecord(p, id)
  end
  conclude(p, id, to, result, err, v, progress, whole(clock() - tonumber(ran)), deferred)
  return 'ok'
end
local out = {}
for i = 1, (#KEYS - 6) / 2 do
  local k, a = 6 + 2 * (i - 1), 3 + 6 * (i - 1)
  out[i] = finish(KEYS[k + 1], KEYS[k + 2], unpack(ARGV, a + 1, a + 6))
end
flush(deferred, 'lease', 'ZREM', KEYS[2])
flush(deferred, 'gone', 'DEL', nil)
for _, state in ipairs({'succeeded', 'failed', 'canceled'}) do flush(deferred, state, 'ZADD', p .. 'ended:' .. state, 0) end
for _, state in ipairs({'queued', 'running'}) do flush(deferred, 'was ' .. state, 'ZREM', p .. 'jobs:' .. state) end
if deferred.bytes then redis.call('INCRBY', p .. 'ended:bytes', deferred.bytes) end
local function count(n, today, ever)
  if n == 0 then return end
  if redis.call('INCRBY', today, n) == n then redis.call('EXPIREAT', today, ARGV[3]) end
  redis.call('INCRBY', ever, n)
end
count(done, KEYS[3], KEYS[4])
count(failures, KEYS[5], KEYS[6])
return out
