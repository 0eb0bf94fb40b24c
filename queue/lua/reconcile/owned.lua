-- KEYS: active   ARGV: task prefix, owner   Returns the ids that owner has taken.
local out = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if redis.call('HGET', ARGV[1] .. id, 'owner') == ARGV[2] then out[#out + 1] = id end
end
return out
