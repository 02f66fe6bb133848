-- evict: a supervisor leaves, or has been silent for a whole lease and has no worker left.
--
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- ARGV[1]  supervisor id
-- ARGV[2]  act only if its counter is still this one, or '' for no such condition
-- returns  1 done, 0 it was not there or lives
local supervisors = KEYS[1]

if ARGV[2] ~= '' and redis.call('HGET', supervisors, ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', supervisors, ARGV[1])
