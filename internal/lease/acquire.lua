-- KEYS: lease, fence
-- ARGV: holder, ttl ms | ms left of a lease that is overdue for renewal, what precedes a
--   holder in its channel, a channel that the caller listens to (empty: connections tell
--   nothing; 'nodes': the caller asks the nodes of a Cluster), the lease that its last
--   look found deserted
-- Returns {fencing token, or 0 when another holds the lease; the lease when it is
-- deserted: overdue, and nobody listens to its holder's channel, as where its process
-- was killed}. What two looks in a row find deserted is free. The token is at least the
-- time in µs, so that it rises even after Redis forgot the last one.
local function listens(channel) return redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 end
local function deserted(holder)
  -- Holders of a former version have no channel.
  return ARGV[5] ~= '' and string.sub(holder, -8) == '/listens' and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3])
    and (ARGV[5] == 'nodes' or listens(ARGV[5]) and not listens(ARGV[4] .. holder))
end
local held = redis.call('GET', KEYS[1])
if held then
  local holder, token = string.match(held, '^(.-)|(%d+)$')
  if holder == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return {tonumber(token), ''}
  end
  if not deserted(holder) then return {0, ''} end
  if held ~= ARGV[6] then return {0, held} end
end
local t = redis.call('TIME')
local token = tonumber(t[1]) * 1000000 + tonumber(t[2])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if last >= token then token = last + 1 end
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. text, 'PX', ARGV[2])
return {token, ''}
