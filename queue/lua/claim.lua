-- KEYS: claim   ARGV: digest, claimant, ttl ms of a claim in flight
-- Returns {'new'} | {'reuse'} | {'busy'} | {'done', outcome}
local v = redis.call('HMGET', KEYS[1], 'digest', 'claimant', 'outcome')
if not v[1] then
  redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'claimant', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'new'}
end
if v[1] ~= ARGV[1] then return {'reuse'} end
if v[3] then return {'done', v[3]} end
if v[2] == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'new'}
end
return {'busy'}
