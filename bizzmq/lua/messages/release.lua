-- release: returns messages that the worker cannot finish to the head of the queue, without blame.
--
-- An unstarted message keeps its counts. A started one counts one more delivery. One whose cancel was requested ends
-- instead.
--
-- A worker numbers its releases and sends one at a time. Nothing else tells a release from a copy that executes late,
-- after the same worker has claimed the same message again. A known number changes nothing.
--
-- uses      numbers, attempts, totals, enqueue, guards, held, time, extras, history, results, cancels
-- edge      processing -> waiting, processing -> gone (cancel)
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that the worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of other priorities
-- KEYS[5]   attempts     HASH  id -> counts and priority
-- KEYS[6]   wake         ZSET  marker that idle workers block on
-- KEYS[7]   releases     HASH  worker id -> number of its last release
-- ARGV[1]   worker id
-- ARGV[2]   number of this release
-- ARGV[3]   1 if the messages were started, else 0
-- ARGV[4..] ids, newest first, at most 100
-- returns   how many were released, 0 already done, -1 not registered
local workers, processing, waiting, prioritized, attempts, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local releases, worker, number, started = KEYS[7], ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if (count_of(redis.call('HGET', releases, worker)) or 0) >= number then return 0 end
check_types({}, {processing, waiting}, {prioritized, wake}) -- a read checks `attempts` before the first write
local cancelled = cancelled_among(workers, {unpack(ARGV, 4)})
if next(cancelled) then check_cancel_types(workers) end
allow_when_full(workers)
local released = 0
for i = 4, #ARGV do
  if is_held(processing, ARGV[i]) then
    local retries, crashes, requeues, priority, crash = attempts_of(attempts, ARGV[i])
    if cancelled[ARGV[i]] then
      end_cancelled(workers, ARGV[i], cancelled[ARGV[i]])
    else
      if started then
        redis.call('HSET', attempts, ARGV[i], attempts_text(retries, crashes, requeues + 1, priority, crash))
      end
      enqueue(waiting, prioritized, ARGV[i], priority, true)
      note(workers, ARGV[i], 'released', {worker = worker, why = started and 'its pool is draining' or 'not started'})
    end
    redis.call('LREM', processing, 1, ARGV[i])
    released = released + 1
  end
end
redis.call('HSET', releases, worker, number)
if redis.call('EXISTS', waiting, prioritized) > 0 then redis.call('ZADD', wake, 0, 'm') end
return released
