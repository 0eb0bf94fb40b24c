-- KEYS: claim   ARGV: digest, claimant, outcome, ttl ms, channel
local v = redis.call('HMGET', KEYS[1], 'claimant', 'outcome')
if v[2] or (v[1] and v[1] ~= ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'claimant', ARGV[2], 'outcome', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], 'kept')
return 1
