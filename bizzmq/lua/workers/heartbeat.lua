-- heartbeat: increments the counter of a supervisor, which shows that it is alive.
--
-- uses     guards, counters
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- ARGV[1]  supervisor id
-- returns  {the new counter, or 0 not registered, 1 if the queue has schedules, else 0}
local supervisors = KEYS[1]

if redis.call('HEXISTS', supervisors, ARGV[1]) == 0 then return {0, 0} end
-- The key is not declared, and a refusal means no: users that were created for an earlier version may not ask for it.
local has_schedules = redis.pcall('EXISTS', string.match(supervisors, '^(.*)supervisors$') .. 'due')
if type(has_schedules) ~= 'number' then has_schedules = 0 end
allow_when_full(supervisors)
local counter = redis.pcall('HINCRBY', supervisors, ARGV[1], 1)
if type(counter) == 'number' and counter > 0 then return {counter, has_schedules} end
-- It was not a counter, or has no room left. Any other number shows watchers that the supervisor is alive.
counter = fresh_counter()
redis.call('HSET', supervisors, ARGV[1], counter)
return {tonumber(counter), has_schedules}
