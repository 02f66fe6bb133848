-- replay: one dead letter goes back to the tail of the queue that it came from, with fresh counts.
--
-- edge      dead-lettered -> waiting, parked -> waiting
-- KEYS[1]   dead_waiting      LIST  ids in the dead-letter queue
-- KEYS[2]   dead_prioritized  ZSET  ids in it of another priority
-- KEYS[3]   dead_delayed      ZSET  ids in it that wait for their retry
-- KEYS[4]   dead_parked       LIST  ids in it that its handler could not handle
-- KEYS[5]   dead_messages     HASH  its envelopes
-- KEYS[6]   dead_attempts     HASH  its counts
-- KEYS[7]   meta              HASH  options of the queue
-- KEYS[8]   waiting           LIST  ids of default priority
-- KEYS[9]   prioritized       ZSET  ids of another priority
-- KEYS[10]  messages          HASH  id -> envelope
-- KEYS[11]  attempts          HASH  id -> counts and priority
-- KEYS[12]  wake              ZSET  the marker that idle workers block on
-- KEYS[13]  stats             HASH  totals
-- ARGV[1]   id
-- ARGV[2]   its priority
-- returns   1 done, 0 it is not there (or just being handled), -1 no such queue
local dead_waiting, dead_prioritized, dead_delayed, dead_parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dead_messages, dead_attempts, meta, waiting, prioritized = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local messages, attempts, wake, stats = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local id, priority = ARGV[1], ARGV[2]

local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
if not count_of(retry) then retry = '0' end
local envelope = redis.call('HGET', dead_messages, id)
if not envelope then return 0 end
check_types({messages, attempts, stats, dead_attempts}, {waiting, dead_waiting, dead_parked},
  {prioritized, wake, dead_delayed, dead_prioritized})
-- It is removed before it is added, since only the removal tells that it is there.
local found = redis.call('LREM', dead_waiting, -1, id) == 1 or redis.call('LREM', dead_parked, -1, id) == 1
  or redis.call('ZREM', dead_delayed, id) == 1 or redis.call('ZREM', dead_prioritized, id) == 1
if not found then return 0 end

local newline = string.find(envelope, '\n', 1, true) or 0
local version, options = string.match(string.sub(envelope, 1, newline - 1), '^([^\t]*)\t?([^\t]*)')
local header = (options == '' or options == '{}') and version or version .. '\t' .. options
redis.call('HSET', messages, id, newline > 0 and header .. string.sub(envelope, newline) or envelope)
if priority ~= '0' or retry ~= '0' then redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
enqueue(waiting, prioritized, id, priority)
redis.call('HDEL', dead_messages, id)
redis.call('HDEL', dead_attempts, id)
count(stats, 'replayed', 1)
redis.call('ZADD', wake, 0, 'm')
return 1
