-- requeue_unregistered: returns the messages of an unregistered worker to the head of their queue, in their old order.
--
-- Only damage leaves such a list: a registration ends in the step that takes the worker's messages. What ran is
-- unknown, so each message may have been started.
--
-- uses     numbers, attempts, totals, enqueue, guards, time, extras, history
-- edge     processing -> waiting
-- KEYS[1]  workers      HASH  worker id -> supervisor id
-- KEYS[2]  processing   LIST  ids that the worker holds
-- KEYS[3]  waiting      LIST  ids of default priority
-- KEYS[4]  prioritized  ZSET  ids of other priorities
-- KEYS[5]  attempts     HASH  id -> counts and priority
-- KEYS[6]  wake         ZSET  marker that idle workers block on
-- KEYS[7]  stats        HASH  totals
-- ARGV[1]  worker id
-- returns  how many were requeued, at most 100; 0 none is left; -1 the worker is registered
local workers, processing, waiting, prioritized = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local attempts, wake, stats = KEYS[5], KEYS[6], KEYS[7]

if redis.call('HEXISTS', workers, ARGV[1]) == 1 then return -1 end
local ids = redis.call('LRANGE', processing, 0, 99) -- newest first
if #ids == 0 then return 0 end
check_types({stats}, {waiting}, {prioritized, wake}) -- a read checks `attempts` before the first write
allow_when_full(workers)
for _, id in ipairs(ids) do
  local retries, crashes, requeues, priority, crash = attempts_of(attempts, id)
  redis.call('HSET', attempts, id, attempts_text(retries, crashes, requeues + 1, priority, crash))
  enqueue(waiting, prioritized, id, priority, true)
  note(workers, id, 'requeued', {worker = ARGV[1], why = 'its worker was not registered'})
end
redis.call('LTRIM', processing, #ids, -1)
count(stats, 'requeued', #ids)
redis.call('ZADD', wake, 0, 'm')
return #ids
