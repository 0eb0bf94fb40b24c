-- asynq's dequeue for as many tasks as there are free slots. It also notes
-- whose they now are, and steps over ids whose task is gone (asynq would leave
-- them active for ever).
-- KEYS: pending, paused, active, lease
-- ARGV: lease end, task prefix | owner, most tasks
-- Returns {id, msg, …}, or nil when there is none
if redis.call('EXISTS', KEYS[2]) == 1 then return nil end
local out = {}
local most = 2 * tonumber(ARGV[4])
for _ = 1, 1000 do
  if #out == most then break end
  local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
  if not id then break end
  local key = ARGV[2] .. id
  local msg = redis.call('HGET', key, 'msg')
  if msg then
    redis.call('HSET', key, 'state', 'active', 'owner', ARGV[3])
    redis.call('HDEL', key, 'pending_since', 'missed')
    redis.call('ZADD', KEYS[4], ARGV[1], id)
    out[#out + 1] = id
    out[#out + 1] = msg
  else
    redis.call('LREM', KEYS[3], 1, id)
    redis.call('DEL', key)
  end
end
if #out == 0 then return nil end
return out
