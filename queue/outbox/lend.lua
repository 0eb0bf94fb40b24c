-- Lends the first event of each outbox that is due, for as long as ARGV says.
-- KEYS: due boxes   ARGV: prefix, most, ms to lend for
-- Returns {ms until the next is due (-1: none waits), events lost since their
--   hook has faded, id, entry, url, failures, id, …}
local p = ARGV[1]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out, lost = {-1, 0}, 0
local function score(ms) return string.format('%.0f', ms) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', score(now), 'LIMIT', '0', ARGV[2])) do
  local box, key = p .. 'outbox:' .. id, p .. 'hook:' .. id
  local entry = redis.call('LINDEX', box, 0)
  local v = redis.call('HMGET', key, 'url', 'failures')
  if not entry or not v[1] then
    lost = lost + redis.call('LLEN', box)
    redis.call('DEL', box)
    redis.call('ZREM', KEYS[1], id)
  else
    redis.call('ZADD', KEYS[1], score(now + tonumber(ARGV[3])), id)
    if string.find(entry, '^%S+ progress ') then redis.call('HSET', key, 'progress', score(now)) end
    for _, x in ipairs({id, entry, v[1], v[2] or '0'}) do out[#out + 1] = x end
  end
end
if lost > 0 then redis.call('HINCRBY', p .. 'posted', 'dropped', lost) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then out[1] = math.max(0, tonumber(first[2]) - now) end
out[2] = lost
return out
