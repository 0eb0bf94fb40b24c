-- asynq's enqueue for a job whose caller waits, with a bound and the wake in
-- the same step. Nothing of records here: this is the busy path.
-- KEYS: task, pending
-- ARGV: msg, id, now ns (all three asynq's) | prefix, bound, reply list
-- Returns {1 stored | 0 known already | -1 full, jobs pending}
local n = redis.call('LLEN', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, n} end
if n >= tonumber(ARGV[5]) then return {-1, n} end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3], 'reply', ARGV[6])
redis.call('LPUSH', KEYS[2], ARGV[2])
-- Workers drain a lane before they sleep, so only the first of a row wakes them.
if n == 0 then redis.call('PUBLISH', ARGV[4] .. 'wake', '') end
return {1, n + 1}
