-- The wait of a caller ran out: its job gets a record, unless it has ended.
-- The worker's finish is one step too, so either the task is still here and the
-- result will go to the record, or it is gone and the reply is on its list.
-- KEYS: task   ARGV: prefix, id, then the record's fields
-- Returns 'queued' | 'running' | 'gone'
local p, id = ARGV[1], ARGV[2]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'gone' end
if redis.call('EXISTS', p .. 'job:' .. id) == 0 then
  local fields = {}
  for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
  create(p, id, fields)
  if state == 'active' then
    move(p, id, 'running')
    redis.call('HSET', p .. 'job:' .. id, 'attempts', '1', 'started', whole(clock()))
    -- Its worker may be about to begin it; that is the attempt counted here.
    redis.call('HSET', KEYS[1], 'counted', redis.call('HGET', KEYS[1], 'owner') or '')
    changed(p, id)
  end
end
return redis.call('HGET', p .. 'job:' .. id, 'state')
