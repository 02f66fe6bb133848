-- deduplicate: leaves one copy of messages that are in several locations or stored on both sides.
--
-- The sides are the queue and its dead-letter queue. A message stays in the queue, unless its only locations are in the
-- dead-letter queue. On that side it stays where a registered worker holds it, else where it can be claimed, else where
-- it is delayed, else where it is put aside for a pause, else where it is parked, else in the list of a worker that is
-- not registered. Of several copies in one list the oldest stays. A copy is removed only while another one exists. An id
-- without an envelope stays as it is.
--
-- uses       numbers, attempts, guards, locations, extras
-- edge       duplicate -> processing | waiting | delayed | suspended | parked | dead-lettered | unplaced
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
-- returns    how many had several copies, or -2: nothing was done, a registered worker's list is missing from the keys
local messages, attempts, workers, waiting, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prioritized, delayed, dead_messages, dead_attempts, dead_workers = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local dead_waiting, dead_parked, dead_prioritized, dead_delayed = KEYS[11], KEYS[12], KEYS[13], KEYS[14]

local lists = {waiting, parked, dead_waiting, dead_parked}
for i = 15, #KEYS do lists[#lists + 1] = KEYS[i] end
local registered = registered_lists(lists, workers, dead_workers)
if not registered then return -2 end

check_types({messages, attempts, dead_messages, dead_attempts}, {}, {})
local suspended = sibling(messages, 'suspended')
local rows = locations_of(ARGV, lists, {prioritized, delayed, suspended, dead_prioritized, dead_delayed})
local is_set = {[prioritized] = true, [delayed] = true, [suspended] = true, [dead_prioritized] = true, [dead_delayed] = true}
local dead_prefix = string.gsub(dead_workers, 'workers$', '')
local rank = {
  [prioritized] = 2, [waiting] = 3, [delayed] = 4, [parked] = 5,
  [dead_prioritized] = 2, [dead_waiting] = 3, [dead_delayed] = 4, [dead_parked] = 5,
}
rank[suspended] = (rank[delayed] + rank[parked]) / 2

local function rank_of(location, priority)
  if priority == '0' and is_set[location.key] and rank[location.key] == 2 then return 3.5 end
  return rank[location.key] or (registered[location.key] and 1 or 6)
end

local function remove_from(location, id, count)
  if is_set[location.key] then redis.call('ZREM', location.key, id) else redis.call('LREM', location.key, count, id) end
end

-- Keeps the oldest copy in the best location of one side. Returns whether there were several copies.
local function keep_one(locations, id, attempts_hash)
  local _, _, _, priority = attempts_of(attempts_hash, id)
  local best
  for _, location in ipairs(locations) do
    local order = best and rank_of(location, priority) - rank_of(best, priority)
    if not best or order < 0 or (order == 0 and location.position < best.position) then best = location end
  end
  local is_duplicate = #locations > 1
  for _, location in ipairs(locations) do
    if location ~= best then
      remove_from(location, id, 0)
    elseif location.times > 1 then
      remove_from(location, id, location.times - 1)
      is_duplicate = true
    end
  end
  return is_duplicate
end

local function remove_all(locations, id, hash, attempts_hash)
  for _, location in ipairs(locations) do remove_from(location, id, 0) end
  redis.call('HDEL', hash, id)
  redis.call('HDEL', attempts_hash, id)
end

local deduplicated = 0
for i = 1, #ARGV do
  local id = ARGV[i]
  local own, dead = {}, {}
  for _, location in ipairs(rows[id]) do
    local side = string.sub(location.key, 1, #dead_prefix) == dead_prefix and dead or own
    side[#side + 1] = location
  end
  local is_here, is_dead = redis.call('HEXISTS', messages, id) == 1, redis.call('HEXISTS', dead_messages, id) == 1
  local is_duplicate = is_here and is_dead
  if is_duplicate and #own == 0 and #dead > 0 then
    remove_all(own, id, messages, attempts)
    keep_one(dead, id, dead_attempts)
  elseif is_duplicate then
    remove_all(dead, id, dead_messages, dead_attempts)
    keep_one(own, id, attempts)
  elseif is_here then
    is_duplicate = keep_one(own, id, attempts)
  elseif is_dead then
    is_duplicate = keep_one(dead, id, dead_attempts)
  end
  if is_duplicate then deduplicated = deduplicated + 1 end
  rows[id] = {} -- the id may be given twice
end
return deduplicated
