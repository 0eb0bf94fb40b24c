-- KEYS: lease, fence   ARGV: holder, ttl ms
-- Returns the fencing token, or 0 when another holds the lease. The token is at
-- least the time in µs, so that it rises even after Redis forgot the last one.
local held = redis.call('GET', KEYS[1])
if held then
  local holder, token = string.match(held, '^(.-)|(%d+)$')
  if holder ~= ARGV[1] then return 0 end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(token)
end
local t = redis.call('TIME')
local token = tonumber(t[1]) * 1000000 + tonumber(t[2])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if last >= token then token = last + 1 end
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. text, 'PX', ARGV[2])
return token
