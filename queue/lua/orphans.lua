-- Finds records that have not ended although their task is gone (evicted, or
-- deleted by hand). Tasks and records change together, so none is on its way.
-- KEYS: index of queued, index of running
-- ARGV: prefix, task prefix, most records to look at
-- Returns {id, spec, …}; those that were running are queued again.
local p = ARGV[1]
local out = {}
for i = 1, 2 do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[i], 0, tonumber(ARGV[3]) - 1)) do
    if redis.call('EXISTS', ARGV[2] .. id) == 0 then
      local v = redis.call('HMGET', p .. 'job:' .. id, 'spec', 'cancel')
      local spec = v[1]
      if v[2] == '1' then
        conclude(p, id, 'canceled', '', CANCELED)
      elseif not spec then
        redis.call('ZREM', KEYS[i], id)
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
