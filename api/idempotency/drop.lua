-- KEYS: claim   ARGV: claimant, channel, '1' to keep the job's id for the next
local v = redis.call('HMGET', KEYS[1], 'claimant', 'outcome')
if v[2] or v[1] ~= ARGV[1] then return 0 end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], 'until', '0')
else
  redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[2], 'dropped')
return 1
