-- time: the clock of Redis.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The end of a delay, in ms. No delay is longer than a hundred years.
local function due_after(delay_ms)
  return now_ms() + math.min(delay_ms, 3155760000000)
end
