-- KEYS: record, task, pending, scheduled, retry, active, lease
-- ARGV: prefix, id
-- Returns 'none' | 'ended' | 'canceled' | 'running' (its worker is told)
local p, id = ARGV[1], ARGV[2]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return ended(p, id) and 'ended' or 'none' end
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
  conclude(p, id, 'canceled', '', CANCELED)
  return 'canceled'
end
redis.call('HSET', KEYS[1], 'cancel', '1')
redis.call('PUBLISH', p .. 'cancel', id)
return 'running'
