-- Finds records that have not ended although their task is gone. Tasks and records
-- change together, so none is on its way. An operator who deletes a task takes its id
-- off its list too: such a job ends canceled. A task that Redis dropped for want of
-- memory leaves its id there, or those who met the id noted it: such a job is queued
-- again.
-- KEYS: index of queued, index of running, pending, scheduled, retry, active
-- ARGV: prefix, task prefix, most records to look at, '1' where Redis drops keys,
--   error of a job whose task was deleted
-- Returns {{id, spec, …} to be queued again, ids that were deleted}
local p = ARGV[1]
local out, deleted = {}, {}
for i = 1, 2 do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[i], 0, tonumber(ARGV[3]) - 1)) do
    if redis.call('EXISTS', ARGV[2] .. id) == 0 then
      local v = redis.call('HMGET', p .. 'job:' .. id, 'spec', 'cancel')
      local spec = v[1]
      if v[2] == '1' then
        conclude(p, id, 'canceled', '', CANCELED)
      elseif not spec then
        redis.call('ZREM', KEYS[i], id)
      elseif ARGV[4] == '1' or redis.call('SISMEMBER', p .. 'evicted', id) == 1
        or redis.call('LPOS', KEYS[3], id) or redis.call('LPOS', KEYS[6], id)
        or redis.call('ZSCORE', KEYS[4], id) or redis.call('ZSCORE', KEYS[5], id) then
        redis.call('SADD', p .. 'evicted', id) -- until it is queued
        -- Its id would be taken for that of the new task. Where it waits in line, the new
        -- task takes its place (see submit.lua).
        redis.call('LREM', KEYS[6], 0, id)
        redis.call('ZREM', KEYS[4], id)
        redis.call('ZREM', KEYS[5], id)
        if move(p, id, 'queued') then changed(p, id) end
        out[#out + 1] = id
        out[#out + 1] = spec
      else
        conclude(p, id, 'canceled', '', ARGV[5])
        deleted[#deleted + 1] = id
      end
    end
  end
end
if #out > 0 then redis.call('HINCRBY', p .. 'repairs', 'record_without_task', #out / 2) end
return {out, deleted}
