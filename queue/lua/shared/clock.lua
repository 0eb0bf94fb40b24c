-- clock is the one clock that all hosts agree on: Redis's own, in ms. Those of
-- hosts may be minutes apart.
local clock_read
local function clock()
  if not clock_read then
    local t = redis.call('TIME')
    clock_read = tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000
  end
  return clock_read
end

local function whole(ms) return string.format('%.0f', ms) end

-- nanos is the form of asynq's pending_since.
local function nanos() return string.format('%.0f', clock() * 1000000) end
