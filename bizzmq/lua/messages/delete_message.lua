-- delete_message: deletes one message, wherever it is, unless a worker holds it.
--
-- It asks every list and set, so an id that was put into several of them, or twice into one, is gone afterwards.
--
-- uses      totals, guards, extras, repetitions
-- edge      waiting -> gone (purge), delayed -> gone (purge), parked -> gone (purge), suspended -> gone (purge)
-- KEYS[1]   waiting      LIST  ids of default priority
-- KEYS[2]   prioritized  ZSET  ids of other priorities
-- KEYS[3]   delayed      ZSET  id -> due time in ms
-- KEYS[4]   parked       LIST  ids that were parked
-- KEYS[5]   messages     HASH  id -> envelope
-- KEYS[6]   attempts     HASH  id -> counts and priority
-- KEYS[7]   stats        HASH  totals
-- ARGV[1]   id
-- ARGV[2]   the caller's nonce, '' for none
-- returns   1 done, 0 there is no such message, -1 it is in none of these places: a worker holds it
local waiting, prioritized, delayed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local messages, attempts, stats, id, nonce = KEYS[5], KEYS[6], KEYS[7], ARGV[1], ARGV[2]
local suspended = sibling(messages, 'suspended')

if redis.call('HEXISTS', messages, id) == 0 then return tonumber(repeated_reply(messages, nonce, id)) or 0 end
check_types({attempts, stats}, {parked}, {prioritized, delayed, suspended}) -- the first write checks `waiting`
local copies = redis.call('LREM', waiting, 0, id)
copies = copies + redis.call('LREM', parked, 0, id)
copies = copies + redis.call('ZREM', prioritized, id)
copies = copies + redis.call('ZREM', delayed, id)
copies = copies + redis.call('ZREM', suspended, id)
if copies == 0 then return -1 end
redis.call('HDEL', messages, id)
redis.call('HDEL', attempts, id)
forget(messages, {id})
keep_reply(messages, nonce, id, 1)
count(stats, 'purged', 1)
return 1
