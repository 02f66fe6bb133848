-- retry: this attempt has failed; the message goes back to the tail of its queue, now or later.
--
-- edge      processing -> waiting | delayed
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that this worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of another priority
-- KEYS[5]   delayed      ZSET  id -> due time in ms
-- KEYS[6]   attempts     HASH  id -> counts and priority
-- KEYS[7]   wake         ZSET  the marker that idle workers block on
-- KEYS[8]   stats        HASH  totals
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its attempts as the worker claimed them
-- ARGV[4]   its attempts from now on
-- ARGV[5]   delay in ms
-- returns   1 done, 0 it was done before, -1 not registered
local workers, processing, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local attempts, wake, stats = KEYS[6], KEYS[7], KEYS[8]
local worker, id, seen, counted, delay_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
-- Equal counts tell this delivery from a later one of the same message to the same worker, which a
-- copy of this request that executes late must not end.
if (redis.call('HGET', attempts, id) or '0 0 0 0') ~= seen then return 0 end
if not holds(processing, id) then return 0 end
check_types({stats}, {waiting}, {prioritized, delayed, wake})
allow_when_full(workers)

redis.call('HSET', attempts, id, counted)
local _, _, _, priority = attempts_of(attempts, id)
if delay_ms > 0 then
  redis.call('ZADD', delayed, due_after(delay_ms), id)
else
  enqueue(waiting, prioritized, id, priority)
end
redis.call('LREM', processing, -1, id)
count(stats, 'retried', 1)
redis.call('ZADD', wake, 0, 'm')
return 1
