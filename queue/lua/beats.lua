-- KEYS: beats   Returns {id, body, …} of the living; the dead are removed.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local to, body = string.match(all[i + 1], '^(%d+)|(.*)$')
  if to and tonumber(to) > now then
    out[#out + 1] = all[i]
    out[#out + 1] = body
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return out
