-- A worker ends a job that has a record: asynq's acknowledgement, and the
-- record's last state.
-- KEYS: active, lease, task, processed today, processed, failed today, failed,
--       record
-- ARGV: id, owner, state, prefix, ms that it ran, result, error, progress,
--       end of statistics (unix s)
-- Returns 'ok', or 'lost' when the job is no longer this worker's to end.
local id, to, p = ARGV[1], ARGV[3], ARGV[4]
local result, err = ARGV[6], ARGV[7]
if redis.call('HGET', KEYS[3], 'owner') ~= ARGV[2] or redis.call('LREM', KEYS[1], 0, id) == 0 then
  return 'lost'
end
redis.call('ZREM', KEYS[2], id)
redis.call('DEL', KEYS[3])
local v = recall(p, id)
-- The client that canceled the job was told that it ends canceled.
if v.cancel then to, result, err = 'canceled', '', CANCELED end
if redis.call('INCR', KEYS[4]) == 1 then redis.call('EXPIREAT', KEYS[4], ARGV[9]) end
redis.call('INCR', KEYS[5])
if to == 'failed' then
  if redis.call('INCR', KEYS[6]) == 1 then redis.call('EXPIREAT', KEYS[6], ARGV[9]) end
  redis.call('INCR', KEYS[7])
end
if not v.state then return 'ok' end
if v.state == 'queued' and to == 'succeeded' then -- it began while its caller still waited
  move(p, id, 'running')
  redis.call('HINCRBY', KEYS[8], 'attempts', 1)
  changed(p, id)
  v = recall(p, id)
end
conclude(p, id, to, result, err, v, ARGV[8], whole(clock() - tonumber(ARGV[5])))
return 'ok'
