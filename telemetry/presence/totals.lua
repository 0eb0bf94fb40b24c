-- now is the clock of Redis, in ms: clocks of hosts may differ.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)

-- What processes that have ended counted stays in the totals of the deployment. past
-- is a hash of sums; retired, beside it, remembers for an hour what each silent
-- process had counted, should it only have been slow.
local function tally(past, total, sign)
  for name, n in pairs(total) do
    if name == 'refusals' and type(n) == 'table' then
      for reason, m in pairs(n) do redis.call('HINCRBY', past, 'refusals:' .. reason, string.format('%.0f', sign * m)) end
    elseif type(n) == 'number' and n ~= 0 then
      redis.call('HINCRBY', past, name, string.format('%.0f', sign * n))
    end
  end
end

local function totalOf(body)
  local ok, beat = pcall(cjson.decode, body or '')
  if ok and type(beat) == 'table' and type(beat.total) == 'table' then return beat.total end
  return nil
end

