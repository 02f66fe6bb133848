-- discard: this message will not be tried again, and its queue has no dead-letter queue.
--
-- edge      processing -> gone
-- KEYS[1]   workers     HASH  worker id -> supervisor id
-- KEYS[2]   processing  LIST  ids that this worker holds
-- KEYS[3]   messages    HASH  id -> envelope
-- KEYS[4]   attempts    HASH  id -> counts and priority
-- KEYS[5]   stats       HASH  totals
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its attempts as the worker claimed them
-- returns   1 done, 0 it was done before, -1 not registered
local workers, processing, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local worker, id, seen = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if (redis.call('HGET', attempts, id) or '0 0 0 0') ~= seen then return 0 end
if not holds(processing, id) then return 0 end
check_types({messages, stats}, {}, {})

redis.call('LREM', processing, -1, id)
redis.call('HDEL', messages, id)
redis.call('HDEL', attempts, id)
count(stats, 'discarded', 1)
return 1
