-- Sees what operators did with asynq's tools, and has the records follow.
-- KEYS: archived, pending, active, scheduled, retry, paused, index of queued, index of
--       running
-- ARGV: prefix, task prefix, error of an archived job
-- Returns {ids that were archived, ids that were run again, 1 where records have lost
--   their tasks}
local p, tasks = ARGV[1], ARGV[2]
local archived, again = {}, {}
local hands = p .. 'hands'
local n = redis.call('ZCARD', KEYS[1])
local known = redis.call('HLEN', hands)
if n > 0 or known > 0 then
  -- The archive is looked through only where it changed.
  local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  local seen = n .. ' ' .. (newest[1] or '') .. ' ' .. (newest[2] or '')
  if redis.call('GET', hands .. ':seen') ~= seen then
    for _, id in ipairs(redis.call('HKEYS', hands)) do
      local state = redis.call('HGET', tasks .. id, 'state')
      if state ~= 'archived' then
        if state and revive(p, id) then again[#again + 1] = id end
        redis.call('HDEL', hands, id)
      end
    end
    for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      if redis.call('HEXISTS', hands, id) == 0 then
        local spec = redis.call('HGET', p .. 'job:' .. id, 'spec')
        redis.call('HSET', hands, id, spec or '')
        if spec and conclude(p, id, 'failed', '', ARGV[3]) then
          archived[#archived + 1] = id
        else
          -- Its caller waits for it.
          local reply = redis.call('HGET', tasks .. id, 'reply')
          if reply then
            redis.call('RPUSH', reply, id .. 'e' .. ARGV[3])
            redis.call('PEXPIRE', reply, 60000)
          end
        end
      end
    end
    redis.call('SET', hands .. ':seen', seen)
  end
end
-- What was run by hand, or unpaused, wakes nobody by itself.
if redis.call('LLEN', KEYS[2]) > 0 and redis.call('EXISTS', KEYS[6]) == 0 then redis.call('PUBLISH', p .. 'wake', '') end
local records = redis.call('ZCARD', KEYS[7]) + redis.call('ZCARD', KEYS[8])
local held = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3]) + redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[5])
return {archived, again, records > held and 1 or 0}
