-- time: the clock of Redis. A script reads it once.
local read_ms
local function now_ms()
  if not read_ms then
    local time = redis.call('TIME')
    read_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return read_ms
end

-- The end of a delay, in ms. No delay is longer than a hundred years.
local function due_after(delay_ms)
  return now_ms() + math.min(delay_ms, 3155760000000)
end
