-- KEYS: record   ARGV: prefix, id, progress
-- Returns '1' when the job is to be canceled, else '0'
local v = redis.call('HMGET', KEYS[1], 'state', 'cancel', 'quiet')
if v[1] == 'running' then
  redis.call('HSET', KEYS[1], 'progress', ARGV[3])
  if not v[3] then event(ARGV[1], ARGV[2], 'progress', ARGV[3]) end
end
return v[2] or '0'
