-- retry: returns a message to the tail of its queue, now or after a delay: it has failed, or no worker knows its task.
--
-- One whose cancel was requested ends instead.
--
-- uses      numbers, attempts, totals, enqueue, guards, held, time, extras, history, results, cancels
-- edge      processing -> waiting | delayed, processing -> gone (cancel)
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that the worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of other priorities
-- KEYS[5]   delayed      ZSET  id -> due time in ms
-- KEYS[6]   attempts     HASH  id -> counts and priority
-- KEYS[7]   wake         ZSET  marker that idle workers block on
-- KEYS[8]   stats        HASH  totals
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its attempts before: as the worker claimed them
-- ARGV[4]   its attempts after
-- ARGV[5]   delay in ms
-- ARGV[6]   the total that counts it: 'retried' after a failure, 'requeued' if no handler has run it
-- returns   1 done, 0 already done, -1 not registered
local workers, processing, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local attempts, wake, stats = KEYS[6], KEYS[7], KEYS[8]
local worker, id, attempts_before, attempts_after, delay_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local total = ARGV[6]

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
-- Equal counts identify the delivery. A copy of this request that executes late must not end a later delivery of the
-- same message to the same worker.
if (redis.call('HGET', attempts, id) or '0 0 0 0') ~= attempts_before then return 0 end
if not is_held(processing, id) then return 0 end
check_types({stats}, {waiting}, {prioritized, delayed, wake})
local cancelled = cancelled_among(workers, {id})[id]
allow_when_full(workers)

if cancelled then
  end_cancelled(workers, id, cancelled)
  redis.call('LREM', processing, -1, id)
  return 1
end
redis.call('HSET', attempts, id, attempts_after)
local _, _, _, priority = attempts_of(attempts, id)
local due_ms = delay_ms > 0 and due_after(delay_ms)
note(workers, id, total, {worker = worker, due_ms = due_ms, why = string.match(attempts_after, '\t!(.*)$')})
if due_ms then
  redis.call('ZADD', delayed, due_ms, id)
else
  enqueue(waiting, prioritized, id, priority)
end
redis.call('LREM', processing, -1, id)
count(stats, total, 1)
redis.call('ZADD', wake, 0, 'm')
return 1
