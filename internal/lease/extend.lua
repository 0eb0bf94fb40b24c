-- KEYS: lease   ARGV: value (holder|token), ms to live; 0 releases it
-- Returns 1, or 0 when another holds it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
