-- release_prefetched: returns what a busy worker has claimed but not started to the head of the queue, without blame.
--
-- The supervisor sends it after it has made sure that the worker starts nothing more of this claim. The script acts
-- only while the worker holds the same message in the same delivery: until then it cannot have claimed again. So a copy
-- that executes late, after the worker has gone on, changes nothing. A message whose cancel was requested ends instead.
--
-- uses      numbers, attempts, totals, enqueue, guards, time, extras, history, results, cancels
-- edge      processing -> waiting, processing -> gone (cancel)
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that the worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of other priorities
-- KEYS[5]   attempts     HASH  id -> counts and priority
-- KEYS[6]   wake         ZSET  marker that idle workers block on
-- ARGV[1]   worker id
-- ARGV[2]   id of the message that it is running
-- ARGV[3]   number of this delivery of it, modulo 65536
-- returns   how many were released, 0 it does not run that message (any more), -1 not registered
local workers, processing, waiting, prioritized, attempts, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local worker, running, delivery = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
local ids = redis.call('LRANGE', processing, 0, -1) -- newest first
local newer = -1
for i = 1, #ids do
  if ids[i] == running and running ~= '' then newer = i - 1 end
end
if newer < 1 then return 0 end
local retries, crashes, requeues = attempts_of(attempts, running)
if (1 + retries + crashes + requeues) % 65536 ~= delivery then return 0 end
check_types({}, {waiting}, {prioritized, wake})
local cancelled = cancelled_among(workers, {unpack(ids, 1, math.min(newer, 1000))})
if next(cancelled) then check_cancel_types(workers) end
allow_when_full(workers)
for i = 1, newer do
  if cancelled[ids[i]] then
    end_cancelled(workers, ids[i], cancelled[ids[i]])
  else
    local _, _, _, priority = attempts_of(attempts, ids[i])
    enqueue(waiting, prioritized, ids[i], priority, true)
    note(workers, ids[i], 'released', {worker = worker, why = 'not started'})
  end
end
redis.call('LTRIM', processing, newer, -1)
redis.call('ZADD', wake, 0, 'm')
return newer
