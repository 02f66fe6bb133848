-- release: the worker gives back what it cannot run to its end: to the head, and nobody is blamed.
--
-- What it has not started leaves no trace; what it has started counts as one more delivery.
--
-- edge      processing -> waiting
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that this worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of another priority
-- KEYS[5]   attempts     HASH  id -> counts and priority
-- KEYS[6]   wake         ZSET  the marker that idle workers block on
-- ARGV[1]   worker id
-- ARGV[2]   1 if they have been started, else 0
-- ARGV[3..] ids, newest first, at most 100
-- returns   how many were given back, -1 not registered
local workers, processing, waiting, prioritized, attempts, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

if redis.call('HEXISTS', workers, ARGV[1]) == 0 then return -1 end
allow_when_full(attempts)
check_types({}, {processing, waiting}, {prioritized, wake})
local released = 0
for i = 3, #ARGV do
  if holds(processing, ARGV[i]) then
    local retries, crashes, requeues, priority = attempts_of(attempts, ARGV[i])
    if ARGV[2] == '1' then
      local counts = table.concat({retries, crashes, requeues + 1, priority}, ' ')
      redis.call('HSET', attempts, ARGV[i], counts .. crash_of(attempts, ARGV[i]))
    end
    enqueue(waiting, prioritized, ARGV[i], priority, true)
    redis.call('LREM', processing, 1, ARGV[i])
    released = released + 1
  end
end
if redis.call('EXISTS', waiting, prioritized) > 0 then redis.call('ZADD', wake, 0, 'm') end
return released
