-- locate: finds where ids are at one moment, in a queue and in its dead-letter queue.
--
-- Changes nothing. It reads all lists, so it is for the few ids that page-by-page reads leave unclear.
--
-- uses       locations, extras
-- KEYS[1]    messages          HASH  id -> envelope
-- KEYS[2]    attempts          HASH  id -> counts and priority
-- KEYS[3]    workers           HASH  worker id -> supervisor id
-- KEYS[4]    waiting           LIST  ids of default priority
-- KEYS[5]    parked            LIST  ids that were parked
-- KEYS[6]    prioritized       ZSET  ids of other priorities
-- KEYS[7]    delayed           ZSET  id -> due time in ms
-- KEYS[8]    dead_messages     HASH  the same keys of the dead-letter queue
-- KEYS[9]    dead_attempts     HASH
-- KEYS[10]   dead_workers      HASH
-- KEYS[11]   dead_waiting      LIST
-- KEYS[12]   dead_parked       LIST
-- KEYS[13]   dead_prioritized  ZSET
-- KEYS[14]   dead_delayed      ZSET
-- KEYS[15..] processing        LIST  of each worker of both queues, registered or not
-- ARGV[1..]  ids, at most 100
-- returns    {-2} a registered worker's list is missing from the keys |
--            {1, {stored, stored as a dead letter, has attempts, has attempts as a dead letter, key, times, ...}, ...}
local messages, attempts, workers, waiting, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prioritized, delayed, dead_messages, dead_attempts, dead_workers = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local dead_waiting, dead_parked, dead_prioritized, dead_delayed = KEYS[11], KEYS[12], KEYS[13], KEYS[14]

local lists = {waiting, parked, dead_waiting, dead_parked}
for i = 15, #KEYS do lists[#lists + 1] = KEYS[i] end
if not registered_lists(lists, workers, dead_workers) then return {-2} end

local rows = locations_of(ARGV, lists,
  {prioritized, delayed, sibling(messages, 'suspended'), dead_prioritized, dead_delayed})
local found = {1}
for i = 1, #ARGV do
  local id = ARGV[i]
  local row = {}
  for _, hash in ipairs({messages, dead_messages, attempts, dead_attempts}) do
    row[#row + 1] = redis.call('HEXISTS', hash, id)
  end
  for _, location in ipairs(rows[id]) do
    row[#row + 1] = location.key
    row[#row + 1] = location.times
  end
  found[#found + 1] = row
end
return found
