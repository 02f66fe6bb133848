-- requeue_unplaced: puts stored messages that are in no list or set at the head of their queue.
--
-- It checks once more, in both queues, that they are nowhere, so no message gets a second copy.
--
-- uses       numbers, attempts, totals, enqueue, guards, locations, time, extras, history
-- edge       unplaced -> waiting
-- KEYS[1]    messages           HASH  id -> envelope
-- KEYS[2]    attempts           HASH  id -> counts and priority
-- KEYS[3]    workers            HASH  worker id -> supervisor id
-- KEYS[4]    waiting            LIST  ids of default priority
-- KEYS[5]    parked             LIST  ids that were parked
-- KEYS[6]    prioritized        ZSET  ids of other priorities
-- KEYS[7]    delayed            ZSET  id -> due time in ms
-- KEYS[8]    wake               ZSET  marker that idle workers block on
-- KEYS[9]    stats              HASH  totals
-- KEYS[10]   other_messages     HASH  the same keys of the other side: the dead-letter queue, or its original queue
-- KEYS[11]   other_workers      HASH
-- KEYS[12]   other_waiting      LIST
-- KEYS[13]   other_parked       LIST
-- KEYS[14]   other_prioritized  ZSET
-- KEYS[15]   other_delayed      ZSET
-- KEYS[16..] processing         LIST  of each worker of both queues, registered or not
-- ARGV[1..]  ids, newest first, at most 100
-- returns    how many were requeued, -2 a registered worker's list is missing from the keys
local messages, attempts, workers, waiting, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prioritized, delayed, wake, stats = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local other_messages, other_workers, other_waiting, other_parked = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local other_prioritized, other_delayed = KEYS[14], KEYS[15]

local lists = {waiting, parked, other_waiting, other_parked}
for i = 16, #KEYS do lists[#lists + 1] = KEYS[i] end
if not registered_lists(lists, workers, other_workers) then return -2 end

check_types({stats}, {}, {wake}) -- reads check the other types before the first write
allow_when_full(workers)
local rows = locations_of(ARGV, lists,
  {prioritized, delayed, beside(messages, 'suspended'), other_prioritized, other_delayed})
local restored = 0
for i = 1, #ARGV do
  local id = ARGV[i]
  local is_here = redis.call('HEXISTS', messages, id) == 1 and redis.call('HEXISTS', other_messages, id) == 0
  if is_here and #rows[id] == 0 then
    local _, _, _, priority = attempts_of(attempts, id)
    enqueue(waiting, prioritized, id, priority, true)
    note(messages, id, 'requeued', {why = 'the audit found it nowhere'})
    rows[id] = {waiting} -- the id may be given twice
    restored = restored + 1
  end
end
if restored > 0 then
  redis.call('ZADD', wake, 0, 'm')
  count(stats, 'restored', restored)
end
return restored
