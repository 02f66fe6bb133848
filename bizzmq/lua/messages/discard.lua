-- discard: deletes a message that is not retried: it is cancelled, or its queue has no dead-letter queue.
--
-- uses      totals, guards, held, time, extras, history, results, cancels
-- edge      processing -> gone, processing -> gone (cancel)
-- KEYS[1]   workers     HASH    worker id -> supervisor id
-- KEYS[2]   processing  LIST    ids that the worker holds
-- KEYS[3]   messages    HASH    id -> envelope
-- KEYS[4]   attempts    HASH    id -> counts and priority
-- KEYS[5]   stats       HASH    totals
-- KEYS[6]   result      STRING  what has become of the message
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its attempts before: as the worker claimed them
-- ARGV[4]   error record, JSON, for a message that keeps its result
-- ARGV[5]   'cancelled', or 'discarded' for one that has failed; as cancelled ends any message whose cancel was requested
-- returns   1 done, 0 already done, -1 not registered
local workers, processing, messages, attempts, stats, result = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local worker, id, attempts_before, record, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if (redis.call('HGET', attempts, id) or '0 0 0 0') ~= attempts_before then return 0 end
if not is_held(processing, id) then return 0 end
check_types({messages, stats}, {}, {})

local cancelled = cancelled_among(workers, {id})[id] or (state == 'cancelled' and record)
if cancelled then
  end_cancelled(workers, id, cancelled)
  redis.call('LREM', processing, -1, id)
  return 1
end
store_failure(result, redis.call('HGET', messages, id), 'discarded', record)
redis.call('LREM', processing, -1, id)
redis.call('HDEL', messages, id)
redis.call('HDEL', attempts, id)
forget(messages, {id})
count(stats, 'discarded', 1)
return 1
