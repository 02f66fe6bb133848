-- drop: ids that stand in a place but have no envelope are taken out of it: there is nothing to run.
--
-- Each one is taken out once, and counted as claims count what they skip.
--
-- edge      hollow -> gone
-- KEYS[1]   place     LIST or ZSET  where they stand
-- KEYS[2]   messages  HASH          id -> envelope
-- KEYS[3]   attempts  HASH          id -> counts and priority
-- KEYS[4]   stats     HASH          totals
-- ARGV[1..] ids, those first that stand farthest to the right; at most 100
-- returns   how many were dropped; not those that have an envelope, or stand there no more
local place, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

check_types({attempts, stats}, {}, {}) -- those of the others are met before the first write
local is_list = redis.call('TYPE', place).ok == 'list'
local dropped = 0
for i = 1, #ARGV do
  if redis.call('HEXISTS', messages, ARGV[i]) == 0 then
    local count = is_list and redis.call('LREM', place, -1, ARGV[i]) or redis.call('ZREM', place, ARGV[i])
    if count == 1 then
      redis.call('HDEL', attempts, ARGV[i])
      dropped = dropped + 1
    end
  end
end
if dropped > 0 then count(stats, 'missing', dropped) end
return dropped
