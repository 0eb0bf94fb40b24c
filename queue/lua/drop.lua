-- KEYS: claim   ARGV: claimant, channel
local v = redis.call('HMGET', KEYS[1], 'claimant', 'outcome')
if v[2] or v[1] ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], 'dropped')
return 1
