-- delete_queue: deletes a queue, or one shard, together with its dead-letter queue.
--
-- All keys go in one step: the next publish or claim finds no such queue. UNLINK takes no longer
-- for many messages. The time of creation is the fence: a copy that executes late spares a new queue of the same name.
-- The numbers of publishers' requests stay and expire, so that no late copy of a request is published to a new queue.
--
-- uses       guards, locations, extras, repetitions
-- edge       waiting -> gone (purge), delayed -> gone (purge), parked -> gone (purge), processing -> gone (discard)
-- KEYS[1]    meta              HASH  the queue's options
-- KEYS[2]    messages          HASH  id -> envelope
-- KEYS[3]    attempts          HASH  id -> counts and priority
-- KEYS[4]    supervisors       HASH  supervisor id -> beat counter
-- KEYS[5]    workers           HASH  worker id -> supervisor id
-- KEYS[6]    releases          HASH  worker id -> number of its last release
-- KEYS[7]    stats             HASH  totals
-- KEYS[8]    waiting           LIST  ids of default priority
-- KEYS[9]    parked            LIST  ids that were parked
-- KEYS[10]   prioritized       ZSET  ids of other priorities
-- KEYS[11]   delayed           ZSET  id -> due time in ms
-- KEYS[12]   wake              ZSET  marker that idle workers block on
-- KEYS[13]   dead_meta         HASH  the same keys of the dead-letter queue
-- KEYS[14]   dead_messages     HASH
-- KEYS[15]   dead_attempts     HASH
-- KEYS[16]   dead_supervisors  HASH
-- KEYS[17]   dead_workers      HASH
-- KEYS[18]   dead_releases     HASH
-- KEYS[19]   dead_stats        HASH
-- KEYS[20]   dead_waiting      LIST
-- KEYS[21]   dead_parked       LIST
-- KEYS[22]   dead_prioritized  ZSET
-- KEYS[23]   dead_delayed      ZSET
-- KEYS[24]   dead_wake         ZSET
-- KEYS[25]   schedules         HASH  schedule -> definition
-- KEYS[26]   due               ZSET  schedule -> when it fires next, in ms
-- KEYS[27]   fires             HASH  schedule -> last fire, counts, pause
-- KEYS[28..] processing        LIST  of each worker of both queues, registered or not
-- ARGV[1]    'count' changes nothing, 'empty' deletes a queue without messages and workers, 'all' deletes any
-- ARGV[2]    its time of creation, as the caller has read it; '' if it has none
-- ARGV[3]    the caller's nonce, '' for none: so a repetition returns what was deleted
-- returns    {1 deleted | 0 not deleted, messages, dead letters, registered workers or supervisors} |
--            {-1} no such queue, or another one by now | {-2} a registered worker's list is missing from the keys
local meta, messages, attempts, supervisors, workers, releases = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stats, waiting, parked, prioritized, delayed, wake = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local dead_meta, dead_messages, dead_attempts, dead_supervisors = KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local dead_workers, dead_releases, dead_stats, dead_waiting = KEYS[17], KEYS[18], KEYS[19], KEYS[20]
local dead_parked, dead_prioritized, dead_delayed, dead_wake = KEYS[21], KEYS[22], KEYS[23], KEYS[24]
local schedules, due, fires = KEYS[25], KEYS[26], KEYS[27]
local mode, created_ms, nonce = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', unpack(KEYS, 1, 27)) == 0 or (redis.call('HGET', meta, 'created_ms') or '') ~= created_ms then
  local messages_before, letters_before, workers_before =
    string.match(repeated_reply(meta, nonce, created_ms) or '', '^(%d+) (%d+) (%d+)$')
  if not messages_before then return {-1} end
  return {1, tonumber(messages_before), tonumber(letters_before), tonumber(workers_before)}
end
local lists = {waiting, parked, dead_waiting, dead_parked}
for i = 28, #KEYS do lists[#lists + 1] = KEYS[i] end
if not registered_lists(lists, workers, dead_workers) then return {-2} end
check_types({attempts, releases, stats, dead_meta, dead_attempts, dead_releases, dead_stats, schedules, fires}, lists,
  {prioritized, delayed, wake, dead_prioritized, dead_delayed, dead_wake, due}) -- reads check the other types

local stored, dead_letters = redis.call('HLEN', messages), redis.call('HLEN', dead_messages)
local registered = math.max(redis.call('HLEN', workers), redis.call('HLEN', supervisors))
  + math.max(redis.call('HLEN', dead_workers), redis.call('HLEN', dead_supervisors))
local is_deleted = mode == 'all' or (mode == 'empty' and stored + dead_letters + registered == 0)
if is_deleted then
  for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end -- Lua cannot unpack thousands of forged workers
  redis.call('UNLINK', beside(meta, 'extras'), beside(meta, 'unique'), beside(meta, 'throttles'), beside(meta, 'throttled'),
    beside(meta, 'pauses'), beside(meta, 'suspended'), beside(meta, 'alerts'))
  redis.call('UNLINK', beside(meta, 'requests'), beside(meta, 'dlq:requests')) -- answers expire
  for _, name in ipairs(BESIDE) do redis.call('UNLINK', beside(meta, name)) end
  keep_reply(meta, nonce, created_ms, stored .. ' ' .. dead_letters .. ' ' .. registered)
end
return {is_deleted and 1 or 0, stored, dead_letters, registered}
