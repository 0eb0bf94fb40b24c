-- A waiting caller has gone: a job that nobody has begun is dropped.
-- KEYS: task, pending   ARGV: id
if redis.call('HGET', KEYS[1], 'state') ~= 'pending' then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('LREM', KEYS[2], -1, ARGV[1])
