-- KEYS: record, task, pending, scheduled, retry, active, lease
-- ARGV: prefix, id, retain s, error
-- Returns 'none' | 'ended' | 'canceled' | 'running' (its worker is told)
local p, id = ARGV[1], ARGV[2]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'none' end
if final(state) then return 'ended' end
local waiting = redis.call('ZREM', KEYS[4], id) + redis.call('ZREM', KEYS[5], id)
if waiting == 0 and redis.call('HGET', KEYS[2], 'state') == 'pending' then
  waiting = redis.call('LREM', KEYS[3], -1, id)
end
if waiting == 0 and state == 'queued' then
  -- A worker took it and has not begun. It is told, should it be about to.
  waiting = redis.call('LREM', KEYS[6], 0, id)
  redis.call('ZREM', KEYS[7], id)
  redis.call('PUBLISH', p .. 'cancel', id)
end
if waiting > 0 or redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[2])
  conclude(p, id, 'canceled', ARGV[3], '', ARGV[4])
  return 'canceled'
end
redis.call('HSET', KEYS[1], 'cancel', '1')
redis.call('PUBLISH', p .. 'cancel', id)
return 'running'
