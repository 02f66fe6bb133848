-- register: allows a supervisor and, if named, one of its workers to work on this queue.
--
-- uses     guards, counters
-- KEYS[1]  meta         HASH  the queue's options
-- KEYS[2]  supervisors  HASH  supervisor id -> beat counter
-- KEYS[3]  workers      HASH  worker id -> supervisor id
-- ARGV[1]  supervisor id
-- ARGV[2]  worker id, or ''
-- returns  1 done, 0 no such queue
local meta, supervisors, workers = KEYS[1], KEYS[2], KEYS[3]

if redis.call('EXISTS', meta) == 0 then return 0 end
allow_when_full(workers)
redis.call('HSETNX', supervisors, ARGV[1], fresh_counter())
if ARGV[2] ~= '' then redis.call('HSET', workers, ARGV[2], ARGV[1]) end
return 1
