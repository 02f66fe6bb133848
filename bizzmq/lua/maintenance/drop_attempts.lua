-- drop_attempts: deletes the attempts of messages that no longer exist.
--
-- KEYS[1]   attempts  HASH  id -> counts and priority
-- KEYS[2]   messages  HASH  id -> envelope
-- ARGV[1..] ids, at most 100
-- returns   how many were deleted: attempts of existing messages are not
local attempts, messages = KEYS[1], KEYS[2]

local deleted = 0
for i = 1, #ARGV do
  if redis.call('HEXISTS', messages, ARGV[i]) == 0 then
    deleted = deleted + redis.call('HDEL', attempts, ARGV[i])
  end
end
return deleted
