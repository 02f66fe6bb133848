-- promote: makes a delayed message wait now, at the tail of its queue, as if its time had come.
--
-- A message that is not delayed any more stays where it is, so a repetition changes nothing.
--
-- uses      numbers, attempts, enqueue, guards, time, extras, history, repetitions
-- edge      delayed -> waiting (promote)
-- KEYS[1]   waiting      LIST  ids of default priority
-- KEYS[2]   prioritized  ZSET  ids of other priorities
-- KEYS[3]   delayed      ZSET  id -> due time in ms
-- KEYS[4]   attempts     HASH  id -> counts and priority
-- KEYS[5]   wake         ZSET  marker that idle workers block on
-- KEYS[6]   stats        HASH  totals
-- ARGV[1]   id
-- ARGV[2]   the caller's nonce, '' for none
-- returns   1 done, 0 it is not delayed
local waiting, prioritized, delayed, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local wake, stats, id, nonce = KEYS[5], KEYS[6], ARGV[1], ARGV[2]

local due_ms = redis.call('ZSCORE', delayed, id)
if not due_ms then return tonumber(repeated_reply(attempts, nonce, id)) or 0 end
local _, _, _, priority = attempts_of(attempts, id)
check_types({}, {}, {wake}) -- the first writes check the other types
allow_when_full(stats)
enqueue(waiting, prioritized, id, priority)
note(delayed, id, 'promoted', {due_ms = due_ms})
redis.call('ZREM', delayed, id)
keep_reply(attempts, nonce, id, 1)
redis.call('ZADD', wake, 0, 'm')
return 1
