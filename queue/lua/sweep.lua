-- Finds the active tasks whose worker is dead and queues them again. A worker
-- is dead when its owner key was gone in two sweeps in a row: after a pause of
-- Redis itself all of them have run out, though every worker lives.
-- KEYS: active, lease, pending
-- ARGV: prefix, task prefix, sweeper's owner id, most losses
-- Returns {ids queued again, ids given up (now the sweeper's), ids without task}
local p, tasks = ARGV[1], ARGV[2]
local again, given, missing, ended = {}, {}, {}, 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local key = tasks .. id
  local v = redis.call('HMGET', key, 'msg', 'owner', 'missed')
  if not v[1] then
    redis.call('LREM', KEYS[1], 0, id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('DEL', key)
    missing[#missing + 1] = id
  elseif v[2] and redis.call('EXISTS', p .. 'owner:' .. v[2]) == 1 then
    if v[3] then redis.call('HDEL', key, 'missed') end
  elseif redis.call('HINCRBY', key, 'missed', 1) >= 2 then
    redis.call('HDEL', key, 'missed')
    if redis.call('HGET', p .. 'job:' .. id, 'cancel') == '1' then
      redis.call('LREM', KEYS[1], 0, id)
      redis.call('ZREM', KEYS[2], id)
      redis.call('DEL', key)
      conclude(p, id, 'canceled', '', CANCELED)
      ended = ended + 1
    elseif redis.call('HINCRBY', key, 'lost', 1) >= tonumber(ARGV[4]) then
      redis.call('HSET', key, 'owner', ARGV[3])
      given[#given + 1] = id
    else
      redis.call('HDEL', key, 'owner')
      redis.call('LREM', KEYS[1], 0, id)
      redis.call('ZREM', KEYS[2], id)
      redis.call('RPUSH', KEYS[3], id)
      redis.call('HSET', key, 'state', 'pending', 'pending_since', nanos())
      if move(p, id, 'queued') then
        redis.call('HSET', p .. 'job:' .. id, 'waiting', 'its worker was lost; it runs again')
        changed(p, id)
      end
      again[#again + 1] = id
    end
  end
end
for what, n in pairs({lost_worker = #again + ended, given_up = #given, without_task = #missing}) do
  if n > 0 then redis.call('HINCRBY', p .. 'repairs', what, n) end
end
if #again > 0 then redis.call('PUBLISH', p .. 'wake', '') end
return {again, given, missing}
