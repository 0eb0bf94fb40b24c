-- KEYS: record, pending, reason of the pause, reason of a pause by the server, since
--   when it is paused   ARGV: id, prefix
-- Returns {fields…, position (0: none), why}, or {member, state} of an ended job,
-- or nil when there is none.
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then
  local member, state = ended(ARGV[2], ARGV[1])
  return member and {member, state} or nil
end
local position, why = 0, ''
if redis.call('HGET', KEYS[1], 'state') == 'queued' then
  local at = redis.call('LPOS', KEYS[2], ARGV[1], 'RANK', '-1', 'MAXLEN', '20000')
  if at then position = redis.call('LLEN', KEYS[2]) - at end
  why = redis.call('GET', KEYS[3])
  local since = redis.call('GET', KEYS[5])
  if since then why = why or ('@' .. since) else why = redis.call('GET', KEYS[4]) or '' end
end
return {fields, position, why}
