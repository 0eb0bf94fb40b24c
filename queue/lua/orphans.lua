-- Finds records that have not ended although their task is gone (evicted, or
-- deleted by hand). Tasks and records change together, so none is on its way.
-- KEYS: index of queued, index of running
-- ARGV: prefix, task prefix, most records to look at, retain s and error of a job
--   that was canceled meanwhile
-- Returns {id, spec, …}; those that were running are queued again.
local p = ARGV[1]
local out = {}
for i = 1, 2 do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[i], 0, tonumber(ARGV[3]) - 1)) do
    if redis.call('EXISTS', ARGV[2] .. id) == 0 then
      local v = redis.call('HMGET', p .. 'job:' .. id, 'spec', 'cancel')
      local spec = v[1]
      if v[2] == '1' then
        conclude(p, id, 'canceled', ARGV[4], '', ARGV[5])
      elseif not spec then
        redis.call('ZREM', KEYS[i], id)
        redis.call('ZREM', p .. 'jobs', id)
      else
        if move(p, id, 'queued') then changed(p, id) end
        out[#out + 1] = id
        out[#out + 1] = spec
      end
    end
  end
end
if #out > 0 then redis.call('HINCRBY', p .. 'repairs', 'record_without_task', #out / 2) end
return out
