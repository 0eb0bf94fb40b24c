-- Finds the active tasks whose worker is dead and queues them again. A worker is dead
-- when two looks in a row found no sign of it: its owner key is gone (after a pause of
-- Redis itself all of them have run out, though every worker lives), or the key is
-- old and nobody listens to the worker's own channel, as where its process was killed.
-- KEYS: active, lease, pending
-- ARGV: prefix, task prefix, sweeper's owner id, most losses, ms to live of a sign
--   that is not old, a channel that the sweeper listens to (empty: connections tell
--   nothing; 'nodes': only all nodes of a Cluster together know the listeners), '1' to
--   look only at those whose process is gone | channels of workers to which nobody
--   listens on any node
-- Returns {ids queued again, ids given up (now the sweeper's), ids without task,
--   how many are suspected since their process is gone, channels of workers with an old
--   sign whose listeners the nodes know}
local p, tasks = ARGV[1], ARGV[2]
local again, given, missing, ended, suspects = {}, {}, {}, 0, 0
local function listens(channel) return redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 end
local nodes = ARGV[6] == 'nodes'
local told = nodes or ARGV[6] ~= '' and listens(ARGV[6])
local owners, olds, unheard = {}, {}, {}
for i = 8, #ARGV do unheard[ARGV[i]] = true end
local function deserted(channel)
  if nodes then return unheard[channel] ~= nil end
  return not listens(channel)
end
-- sign is 'alive', 'silent' (its key has run out) or 'gone' (its process is).
local function sign(owner)
  if not owner then return 'silent' end
  if not owners[owner] then
    local channel = p .. 'owner:' .. owner
    local left = redis.call('PTTL', channel)
    local old = left < tonumber(ARGV[5])
    if old and nodes then olds[#olds + 1] = channel end
    if old and told and deserted(channel) then
      owners[owner] = 'gone'
    else
      owners[owner] = left > 0 and 'alive' or 'silent'
    end
  end
  return owners[owner]
end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local key = tasks .. id
  local v = redis.call('HMGET', key, 'msg', 'owner', 'missed')
  local how = v[1] and sign(v[2])
  if not v[1] then
    redis.call('LREM', KEYS[1], 0, id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('DEL', key)
    if redis.call('EXISTS', p .. 'job:' .. id) == 1 then redis.call('SADD', p .. 'evicted', id) end
    missing[#missing + 1] = id
  elseif how == 'alive' then
    if v[3] then redis.call('HDEL', key, 'missed') end
  elseif ARGV[7] == '1' and how ~= 'gone' then
    -- its next look is a later one
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
  elseif how == 'gone' then
    suspects = suspects + 1
  end
end
for what, n in pairs({lost_worker = #again + ended, given_up = #given, without_task = #missing}) do
  if n > 0 then redis.call('HINCRBY', p .. 'repairs', what, n) end
end
if #again > 0 then redis.call('PUBLISH', p .. 'wake', '') end
return {again, given, missing, suspects, olds}
