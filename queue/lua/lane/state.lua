-- KEYS: pending, active, scheduled, retry, paused, reason of the pause,
--       processed, failed, reason of a pause by the server
-- ARGV: task prefix
-- Returns counts and how long the oldest has waited (ms)
local oldest = redis.call('LINDEX', KEYS[1], -1)
local age = '0'
if oldest then
  local since = redis.call('HGET', ARGV[1] .. oldest, 'pending_since')
  if since then age = string.format('%.3f', math.max(0, clock() - tonumber(since) / 1000000)) end
end
local since = redis.call('GET', KEYS[5])
local why = redis.call('GET', KEYS[since and 6 or 9])
return {
  redis.call('LLEN', KEYS[1]), redis.call('LLEN', KEYS[2]),
  redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]),
  since or '', why or '',
  redis.call('GET', KEYS[7]) or '0', redis.call('GET', KEYS[8]) or '0', age,
}
