-- KEYS: paused, why   ARGV: prefix, '1' or '0', why, now (unix s)
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], ARGV[4])
  redis.call('SET', KEYS[2], ARGV[3])
else
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('PUBLISH', ARGV[1] .. 'wake', '')
end
return 1
