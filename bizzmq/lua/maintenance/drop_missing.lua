-- drop_missing: removes ids that have no envelope from one list or set. There is nothing to run.
--
-- Each id is removed once and counted as missing, as claims do.
--
-- uses      totals, guards, extras
-- edge      missing-body -> gone
-- KEYS[1]   place     LIST or ZSET  where the ids are
-- KEYS[2]   messages  HASH          id -> envelope
-- KEYS[3]   attempts  HASH          id -> counts and priority
-- KEYS[4]   stats     HASH          totals
-- ARGV[1..] ids, from the right end of a list to the left; at most 100
-- returns   how many were dropped: ids that have an envelope or have left the place are not
local place, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

check_types({attempts, stats}, {}, {}) -- reads check the other types before the first write
local is_list = redis.call('TYPE', place).ok == 'list'
local dropped = 0
for i = 1, #ARGV do
  if redis.call('HEXISTS', messages, ARGV[i]) == 0 then
    local removed = is_list and redis.call('LREM', place, -1, ARGV[i]) or redis.call('ZREM', place, ARGV[i])
    if removed == 1 then
      redis.call('HDEL', attempts, ARGV[i])
      forget(messages, {ARGV[i]})
      dropped = dropped + 1
    end
  end
end
if dropped > 0 then count(stats, 'missing', dropped) end
return dropped
