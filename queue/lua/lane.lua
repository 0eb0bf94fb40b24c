-- KEYS: pending, active, scheduled, retry, paused, why, processed, failed
-- ARGV: task prefix
-- Returns counts and the moment since which the oldest waits (ns, '' if none)
local oldest = redis.call('LINDEX', KEYS[1], -1)
local since = ''
if oldest then since = redis.call('HGET', ARGV[1] .. oldest, 'pending_since') or '' end
return {
  redis.call('LLEN', KEYS[1]), redis.call('LLEN', KEYS[2]),
  redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]),
  redis.call('EXISTS', KEYS[5]), redis.call('GET', KEYS[6]) or '',
  redis.call('GET', KEYS[7]) or '0', redis.call('GET', KEYS[8]) or '0', since,
}
