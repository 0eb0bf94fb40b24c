-- KEYS: beats, past, retired
-- ARGV: ms that a late beat has left (0: connections tell nothing), channels of processes
-- Returns {{id, body, …} of the living, {name, sum, …} of what those that have ended
-- counted}; the dead are removed.
local late = tonumber(ARGV[1])
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local to, body = string.match(all[i + 1], '^(%d+)|(.*)$')
  local left = to and tonumber(to) - now or 0
  local gone = left <= 0 or (left < late and redis.call('PUBSUB', 'NUMSUB', ARGV[2] .. all[i])[2] == 0)
  if not gone then
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
