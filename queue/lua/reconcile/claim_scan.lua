-- Whose turn it is to look through a lane. The elected reconciler comes with
-- its fencing token: a lower one than was seen is that of a former leader. As
-- long as it comes, others keep off; without one, the workers take turns.
-- KEYS: turn, highest token   ARGV: token (0: not elected), ms to the next look
-- Returns 1, or 0 when it is another's turn, or -1 for a former leader
local token = tonumber(ARGV[1])
if token > 0 then
  if token < tonumber(redis.call('GET', KEYS[2]) or '0') then return -1 end
  redis.call('SET', KEYS[2], ARGV[1])
  redis.call('SET', KEYS[1], '1', 'PX', 3 * tonumber(ARGV[2]))
  return 1
end
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', math.floor(tonumber(ARGV[2]) * 0.9)) then return 1 end
return 0
