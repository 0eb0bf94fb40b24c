-- KEYS: count   ARGV: over how many shards this process spreads, channel
-- Returns over how many any process ever did.
local n = tonumber(redis.call('GET', KEYS[1]) or '1')
if tonumber(ARGV[1]) > n then
  n = tonumber(ARGV[1])
  redis.call('SET', KEYS[1], n)
  redis.call('PUBLISH', ARGV[2], n)
end
return n
