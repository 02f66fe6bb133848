-- forget: counts of attempts whose message is not there are deleted.
--
-- KEYS[1]   attempts  HASH  id -> counts and priority
-- KEYS[2]   messages  HASH  id -> envelope
-- ARGV[1..] ids, at most 100
-- returns   how many were deleted; not those of messages that are there
local attempts, messages = KEYS[1], KEYS[2]

local forgotten = 0
for i = 1, #ARGV do
  if redis.call('HEXISTS', messages, ARGV[i]) == 0 then
    forgotten = forgotten + redis.call('HDEL', attempts, ARGV[i])
  end
end
return forgotten
