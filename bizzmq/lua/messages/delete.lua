-- delete: deletes messages in a set by their ids.
--
-- uses      totals, guards, extras, repetitions
-- edge      waiting -> gone (purge), delayed -> gone (purge), suspended -> gone (purge)
-- KEYS[1]   place     ZSET  `prioritized`, `delayed` or `suspended`
-- KEYS[2]   messages  HASH  id -> envelope
-- KEYS[3]   attempts  HASH  id -> counts and priority
-- KEYS[4]   stats     HASH  totals
-- ARGV[1]   the caller's nonce, '' for none
-- ARGV[2..] ids, at most 100
-- returns   how many were deleted: ids that have left the place are not
local place, messages, attempts, stats, nonce = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local request = place .. table.concat(ARGV, ' ')

check_types({messages, attempts, stats}, {}, {}) -- the first command checks `place`
local repeated = repeated_reply(messages, nonce, request)
if repeated then return tonumber(repeated) end
local purged, missing = 0, 0
for i = 2, #ARGV do
  if redis.call('ZREM', place, ARGV[i]) == 1 then
    local is_stored = redis.call('HDEL', messages, ARGV[i])
    redis.call('HDEL', attempts, ARGV[i])
    forget(messages, {ARGV[i]})
    purged, missing = purged + is_stored, missing + 1 - is_stored
  end
end
if purged > 0 then
  keep_reply(messages, nonce, request, purged)
  count(stats, 'purged', purged)
end
if missing > 0 then count(stats, 'missing', missing) end
return purged
