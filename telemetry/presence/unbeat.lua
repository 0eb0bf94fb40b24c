-- A process ends in good order.   KEYS: beats, past   ARGV: id
local body = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%d+|(.*)$')
local total = totalOf(body)
if total then tally(KEYS[2], total, 1) end
return redis.call('HDEL', KEYS[1], ARGV[1])
