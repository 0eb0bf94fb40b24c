-- A claim outlives whoever made it: who takes it over is given the id of the job
-- that it may have made already, so that there is one job and not two.
-- A digest is empty where the body was not read yet; it is the same as any other.
-- KEYS: claim   ARGV: digest, claimant, ms that a claim in flight holds, job id,
--   ms that all of it is kept, '1' to renew only
-- Returns {'new', job id} | {'reuse'} | {'busy'} | {'done', outcome} | {'gone'}
-- The clock of Redis, in ms: those of hosts may differ.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000
local v = redis.call('HMGET', KEYS[1], 'digest', 'claimant', 'outcome', 'until', 'job')
-- A claim that was dropped while its renewal was under way stays dropped.
if ARGV[6] == '1' and v[2] ~= ARGV[2] then return {'gone'} end
if v[1] and v[1] ~= '' and ARGV[1] ~= '' and v[1] ~= ARGV[1] then return {'reuse'} end
if v[3] then return {'done', v[3]} end
if v[1] and v[2] ~= ARGV[2] and now < tonumber(v[4] or '0') then return {'busy'} end
local id = v[5] or ARGV[4]
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'claimant', ARGV[2], 'until', string.format('%.0f', now + tonumber(ARGV[3])), 'job', id)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'new', id}
