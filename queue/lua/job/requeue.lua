-- A worker gives a job back: handed back (the attempt is refunded) or to retry.
-- KEYS: active, lease, task, pending, retry
-- ARGV: prefix, id, owner, seconds to rest (0: none), why, refund ('1' or '0'),
--       progress
-- Returns 'ok' | 'lost' | 'canceled' (nothing was done; it is to end canceled)
local p, id = ARGV[1], ARGV[2]
if redis.call('HGET', KEYS[3], 'owner') ~= ARGV[3] then return 'lost' end
local key = p .. 'job:' .. id
if redis.call('HGET', key, 'cancel') == '1' then return 'canceled' end
if redis.call('LREM', KEYS[1], 0, id) == 0 then return 'lost' end
redis.call('ZREM', KEYS[2], id)
redis.call('HDEL', KEYS[3], 'owner', 'missed')
if ARGV[4] == '0' then
  redis.call('RPUSH', KEYS[4], id)
  redis.call('HSET', KEYS[3], 'state', 'pending', 'pending_since', nanos())
  redis.call('PUBLISH', p .. 'wake', '')
else
  redis.call('ZADD', KEYS[5], whole(math.ceil(clock() / 1000 + tonumber(ARGV[4]))), id)
  redis.call('HSET', KEYS[3], 'state', 'retry')
end
if redis.call('EXISTS', key) == 1 and move(p, id, 'queued') then
  redis.call('HSET', key, 'waiting', ARGV[5])
  if ARGV[6] == '1' then redis.call('HINCRBY', key, 'attempts', -1) end
  if ARGV[7] ~= '' then redis.call('HSET', key, 'progress', ARGV[7]) end
  changed(p, id)
end
return 'ok'
