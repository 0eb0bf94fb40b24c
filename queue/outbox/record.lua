-- Records the outcome of a delivery that lend.lua lent.
-- KEYS: due boxes   ARGV: prefix, id, entry, 'delivered' | 'retried' | 'dropped',
--   failures so far, ms to the next try, ms between two progress events
-- Returns how many events were dropped: all that wait for the receiver.
local p, id, entry, what = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local box, key = p .. 'outbox:' .. id, p .. 'hook:' .. id
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
-- A hook that has faded must not come back as a single field.
local known = redis.call('EXISTS', key) == 1
local from, dropped = now, 0
if what == 'retried' then
  if known then redis.call('HSET', key, 'failures', ARGV[5]) end
  from = now + tonumber(ARGV[6])
  redis.call('HINCRBY', p .. 'posted', 'retried', 1)
else
  redis.call('HDEL', key, 'failures')
  if what == 'dropped' then
    dropped = redis.call('LLEN', box)
    redis.call('DEL', box)
    redis.call('HINCRBY', p .. 'posted', 'dropped', dropped)
  else
    -- Newer progress may have taken the place of the one that was sent.
    if redis.call('LINDEX', box, 0) == entry then redis.call('LPOP', box) end
    redis.call('HINCRBY', p .. 'posted', 'delivered', 1)
    local head = redis.call('LINDEX', box, 0)
    if head and string.find(head, '^%S+ progress ') then
      from = math.max(now, tonumber(redis.call('HGET', key, 'progress') or '0') + tonumber(ARGV[7]))
    end
  end
end
if redis.call('EXISTS', box) == 0 then
  redis.call('ZREM', KEYS[1], id)
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', from), id)
  redis.call('PUBLISH', p .. 'outbox', '')
end
return dropped
