-- beat: a supervisor says that it lives.
--
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- ARGV[1]  supervisor id
-- returns  the new counter, 0 it is not registered
local supervisors = KEYS[1]

if redis.call('HEXISTS', supervisors, ARGV[1]) == 0 then return 0 end
allow_when_full(supervisors)
return redis.call('HINCRBY', supervisors, ARGV[1], 1)
