-- KEYS: beats, past, retired   ARGV: id, body, ttl ms
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])) .. '|' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.max(60000, 2 * tonumber(ARGV[3])))
local was = redis.call('HGET', KEYS[3], ARGV[1])
if was then -- it was taken for dead, and counts for itself again
  tally(KEYS[2], cjson.decode(was), -1)
  redis.call('HDEL', KEYS[3], ARGV[1])
end
return 1
