-- purge: messages that nobody runs are deleted, at most as many a call as asked for.
--
-- edge      waiting -> gone, delayed -> gone, parked -> gone
-- KEYS[1]   waiting      LIST  ids of default priority
-- KEYS[2]   prioritized  ZSET  ids of another priority
-- KEYS[3]   delayed      ZSET  id -> due time in ms
-- KEYS[4]   parked       LIST  ids that a dead-letter queue's handler could not handle
-- KEYS[5]   messages     HASH  id -> envelope
-- KEYS[6]   attempts     HASH  id -> counts and priority
-- KEYS[7]   stats        HASH  totals
-- ARGV[1]   how many at most, up to 100
-- returns   how many were deleted; fewer than asked for means that nothing is left
local waiting, prioritized, delayed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local messages, attempts, stats, limit = KEYS[5], KEYS[6], KEYS[7], tonumber(ARGV[1])

allow_when_full(attempts)
check_types({messages, stats}, {waiting, parked}, {prioritized, delayed})
local purged = 0
local function forget(ids)
  if #ids == 0 then return end
  redis.call('HDEL', messages, unpack(ids))
  redis.call('HDEL', attempts, unpack(ids))
  purged = purged + #ids
end
local function empty_list(list)
  if purged >= limit then return end
  local ids = redis.call('LRANGE', list, purged - limit, -1)
  if #ids > 0 then redis.call('LTRIM', list, 0, -#ids - 1) end
  forget(ids)
end
local function empty_set(set)
  if purged >= limit then return end
  local ids = redis.call('ZRANGE', set, 0, limit - purged - 1)
  if #ids > 0 then redis.call('ZREM', set, unpack(ids)) end
  forget(ids)
end

empty_list(waiting)
empty_set(prioritized)
empty_set(delayed)
empty_list(parked)
if purged > 0 then redis.call('HINCRBY', stats, 'purged', purged) end
return purged
