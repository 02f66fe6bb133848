-- delete: messages that stand in a set are deleted by their ids.
--
-- edge      waiting -> gone (purge), delayed -> gone (purge)
-- KEYS[1]   place     ZSET  `prioritized` or `delayed`
-- KEYS[2]   messages  HASH  id -> envelope
-- KEYS[3]   attempts  HASH  id -> counts and priority
-- KEYS[4]   stats     HASH  totals
-- ARGV[1..] ids, at most 100
-- returns   how many were deleted; not those that do not stand there any more
local place, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

check_types({messages, attempts, stats}, {}, {}) -- that of `place` is met by the first command
local purged, hollow = 0, 0
for i = 1, #ARGV do
  if redis.call('ZREM', place, ARGV[i]) == 1 then
    local is_stored = redis.call('HDEL', messages, ARGV[i])
    redis.call('HDEL', attempts, ARGV[i])
    purged, hollow = purged + is_stored, hollow + 1 - is_stored
  end
end
if purged > 0 then count(stats, 'purged', purged) end
if hollow > 0 then count(stats, 'missing', hollow) end
return purged
