-- KEYS: beats, past, retired   Returns {{id, body, …} of the living, {name, sum, …} of
-- what those that have ended counted}; the dead are removed.
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
    local total = totalOf(body)
    if total then
      tally(KEYS[2], total, 1)
      redis.call('HSET', KEYS[3], all[i], cjson.encode(total))
      redis.call('PEXPIRE', KEYS[3], 3600000)
    end
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return {out, redis.call('HGETALL', KEYS[2])}
