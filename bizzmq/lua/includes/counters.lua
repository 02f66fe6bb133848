-- counters: the beat counters of supervisors.
--
-- A reaper compares the counter that it has watched with the stored one. So no counter may come back: not when a
-- supervisor registers again under its id, and not when the network delivers a copy of its registration late. A counter
-- starts with Redis's clock in microseconds and grows by one with each heartbeat, which is slower.
local function fresh_counter()
  local time = redis.call('TIME')
  return string.format('%s%06d', time[1], time[2])
end
