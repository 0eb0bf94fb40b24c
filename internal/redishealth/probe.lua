-- Does once what jobs need: reads the clock, writes, announces. What it writes
-- fades by itself.
-- KEYS: of ours, of asynq   ARGV: channel, a number
redis.call('TIME')
for _, key in ipairs(KEYS) do
  redis.call('HSET', key, 'at', ARGV[2])
  redis.call('PEXPIRE', key, 10000)
end
redis.call('PUBLISH', ARGV[1], '')
return 1
