-- A waiting caller has gone: a job that nobody has begun is dropped, and the
-- worker of one that nobody will ask for again is told.
-- KEYS: task, pending, record   ARGV: prefix, id
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'active' and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('PUBLISH', ARGV[1] .. 'cancel', ARGV[2])
end
if state ~= 'pending' then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('LREM', KEYS[2], -1, ARGV[2])
