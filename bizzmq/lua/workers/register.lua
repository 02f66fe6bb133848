-- register: allows a supervisor and, if named, one of its workers to work on this queue.
--
-- uses     guards
-- KEYS[1]  meta         HASH  the queue's options
-- KEYS[2]  supervisors  HASH  supervisor id -> beat counter
-- KEYS[3]  workers      HASH  worker id -> supervisor id
-- ARGV[1]  supervisor id
-- ARGV[2]  the first counter: random, so that a returning supervisor does not look like a silent one
-- ARGV[3]  worker id, or ''
-- returns  1 done, 0 no such queue
local meta, supervisors, workers = KEYS[1], KEYS[2], KEYS[3]

if redis.call('EXISTS', meta) == 0 then return 0 end
allow_when_full(workers)
redis.call('HSETNX', supervisors, ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', workers, ARGV[3], ARGV[1]) end
return 1
