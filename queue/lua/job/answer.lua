-- A worker ends a job that nobody made a record of: asynq's acknowledgement and
-- the reply. This is the busy path.
-- KEYS: active, lease, task, processed today, processed, failed today, failed,
--       record
-- ARGV: id, owner, state, reply list, reply, end of statistics (unix s)
-- Returns 'ok', 'record' when there is one after all (nothing was done), or
-- 'lost' when the job is no longer this worker's to end.
local id = ARGV[1]
if redis.call('HGET', KEYS[3], 'owner') ~= ARGV[2] then return 'lost' end
if redis.call('EXISTS', KEYS[8]) == 1 then return 'record' end
if redis.call('LREM', KEYS[1], 0, id) == 0 then return 'lost' end
redis.call('ZREM', KEYS[2], id)
redis.call('DEL', KEYS[3])
if redis.call('INCR', KEYS[4]) == 1 then redis.call('EXPIREAT', KEYS[4], ARGV[6]) end
redis.call('INCR', KEYS[5])
if ARGV[3] == 'failed' then
  if redis.call('INCR', KEYS[6]) == 1 then redis.call('EXPIREAT', KEYS[6], ARGV[6]) end
  redis.call('INCR', KEYS[7])
end
if redis.call('RPUSH', ARGV[4], ARGV[5]) == 1 then redis.call('PEXPIRE', ARGV[4], 60000) end
return 'ok'
