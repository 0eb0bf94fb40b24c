-- Looks for one interaction in a stretch of the log, without sending it all.
-- KEYS: log   ARGV: id, from, to, entries to look at
-- Returns {'hit', json} | {'next', last stream id seen} | {'end'}
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
for _, entry in ipairs(entries) do
  local fields = entry[2]
  if fields[2] == ARGV[1] then return {'hit', fields[4]} end
end
if #entries < tonumber(ARGV[4]) then return {'end'} end
return {'next', entries[#entries][1]}
