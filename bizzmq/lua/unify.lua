-- unify: messages that stand in several places, or are stored on both sides, stay once.
--
-- The sides are the queue and its dead-letter queue. A message stays in the queue, unless it has a place in the
-- dead-letter queue only; there, where a registered worker holds it, else where it can be claimed, else where it is
-- held back, else where it was set aside, else in the list of a worker that is not registered. Of several copies in one
-- list the oldest stays. Nothing is removed that is not kept somewhere else at that moment. An id without an envelope is
-- left alone.
--
-- uses       places
-- edge       doubled -> processing | waiting | delayed | parked | dead-lettered | stray
-- KEYS[1]    messages          HASH  id -> envelope
-- KEYS[2]    attempts          HASH  id -> counts and priority
-- KEYS[3]    workers           HASH  worker id -> supervisor id
-- KEYS[4]    waiting           LIST  ids of default priority
-- KEYS[5]    parked            LIST  ids that were set aside
-- KEYS[6]    prioritized       ZSET  ids of another priority
-- KEYS[7]    delayed           ZSET  id -> due time in ms
-- KEYS[8]    dead_messages     HASH  of the dead-letter queue, as are the next six: id -> envelope
-- KEYS[9]    dead_attempts     HASH
-- KEYS[10]   dead_workers      HASH
-- KEYS[11]   dead_waiting      LIST
-- KEYS[12]   dead_parked       LIST
-- KEYS[13]   dead_prioritized  ZSET
-- KEYS[14]   dead_delayed      ZSET
-- KEYS[15..] processing        LIST  of each worker of both queues, registered or not
-- ARGV[1..]  ids, at most 100
-- returns    how many there were of them | -2 nothing is done, the list of a registered worker is missing among the keys
local messages, attempts, workers, waiting, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prioritized, delayed, dead_messages, dead_attempts, dead_workers = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local dead_waiting, dead_parked, dead_prioritized, dead_delayed = KEYS[11], KEYS[12], KEYS[13], KEYS[14]

local lists = {waiting, parked, dead_waiting, dead_parked}
for i = 15, #KEYS do lists[#lists + 1] = KEYS[i] end
local registered = registered_lists(lists, workers, dead_workers)
if not registered then return -2 end

check_types({messages, attempts, dead_messages, dead_attempts}, {}, {})
local rows = sight(ARGV, lists, {prioritized, delayed, dead_prioritized, dead_delayed})
local is_set = {[prioritized] = true, [delayed] = true, [dead_prioritized] = true, [dead_delayed] = true}
local dead_prefix = string.gsub(dead_workers, 'workers$', '')
local rank = {
  [prioritized] = 2, [waiting] = 3, [delayed] = 4, [parked] = 5,
  [dead_prioritized] = 2, [dead_waiting] = 3, [dead_delayed] = 4, [dead_parked] = 5,
}

local function rank_of(place, priority)
  if priority == '0' and is_set[place.key] and rank[place.key] == 2 then return 3.5 end
  return rank[place.key] or (registered[place.key] and 1 or 6)
end

local function take_out(place, id, count)
  if is_set[place.key] then redis.call('ZREM', place.key, id) else redis.call('LREM', place.key, count, id) end
end

-- Of several places of one queue the best one stays, with its oldest copy; true if there were several.
local function keep_one(places, id, counts)
  local _, _, _, priority = attempts_of(counts, id)
  local best
  for _, place in ipairs(places) do
    local order = best and rank_of(place, priority) - rank_of(best, priority)
    if not best or order < 0 or (order == 0 and place.position < best.position) then best = place end
  end
  local several = #places > 1
  for _, place in ipairs(places) do
    if place ~= best then
      take_out(place, id, 0)
    elseif place.times > 1 then
      take_out(place, id, place.times - 1)
      several = true
    end
  end
  return several
end

local function forget(places, id, hash, counts)
  for _, place in ipairs(places) do take_out(place, id, 0) end
  redis.call('HDEL', hash, id)
  redis.call('HDEL', counts, id)
end

local unified = 0
for i = 1, #ARGV do
  local id = ARGV[i]
  local here, dead = {}, {}
  for _, place in ipairs(rows[id]) do
    local side = string.sub(place.key, 1, #dead_prefix) == dead_prefix and dead or here
    side[#side + 1] = place
  end
  local is_here, is_dead = redis.call('HEXISTS', messages, id) == 1, redis.call('HEXISTS', dead_messages, id) == 1
  local several = is_here and is_dead
  if several and #here == 0 and #dead > 0 then
    forget(here, id, messages, attempts)
    keep_one(dead, id, dead_attempts)
  elseif several then
    forget(dead, id, dead_messages, dead_attempts)
    keep_one(here, id, attempts)
  elseif is_here then
    several = keep_one(here, id, attempts)
  elseif is_dead then
    several = keep_one(dead, id, dead_attempts)
  end
  if several then unified = unified + 1 end
  rows[id] = {} -- also if it was named twice
end
return unified
