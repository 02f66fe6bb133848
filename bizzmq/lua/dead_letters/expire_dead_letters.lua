-- expire_dead_letters: deletes old dead letters that are as the caller has judged them.
--
-- The version of a dead letter is the fence: one that has failed again since it was read has another header, and stays.
-- Of those that are too many, as many stay as may: so two callers that have counted the same do not delete twice.
--
-- uses      totals, guards, envelopes, extras
-- edge      dead-lettered -> gone (expire), parked -> gone (expire)
-- KEYS[1]   place          LIST  `waiting` or `parked` of the dead-letter queue
-- KEYS[2]   dead_messages  HASH  envelopes of the dead letters
-- KEYS[3]   dead_attempts  HASH  their counts
-- KEYS[4]   dead_stats     HASH  totals of the dead-letter queue
-- ARGV[1]   how many dead letters stay at least
-- ARGV[2..] id, SHA1 of its header line, ...: at most 100 pairs, the oldest first
-- returns   how many were deleted
local place, dead_messages, dead_attempts, dead_stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

check_types({dead_attempts, dead_stats}, {}, {}) -- the first write checks `place`
local spare = redis.call('HLEN', dead_messages) - tonumber(ARGV[1])
local expired = {}
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  local envelope = #expired < spare and redis.call('HGET', dead_messages, id)
  if envelope and redis.sha1hex(header_line(envelope)) == ARGV[i + 1] and redis.call('LREM', place, -1, id) == 1 then
    redis.call('HDEL', dead_messages, id)
    redis.call('HDEL', dead_attempts, id)
    expired[#expired + 1] = id
  end
end
forget(dead_messages, expired)
if #expired > 0 then count(dead_stats, 'expired', #expired) end
return #expired
