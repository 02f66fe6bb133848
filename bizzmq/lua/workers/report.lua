-- report: notes what a supervisor's pool does now.
--
-- Only people read it. Redis users that were created for an earlier version may not write its key, so a refusal changes
-- nothing else, and this key is not declared: Redis 6 checks the permission for each declared key. It is
-- `pool:SUPERVISOR`, a STRING of the time in ms, a space, and what the pool does. It expires.
--
-- uses     guards, time
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- ARGV[1]  supervisor id
-- ARGV[2]  what its pool does, JSON
-- ARGV[3]  after how many ms this report expires
-- returns  1 done, 0 not registered
local supervisors = KEYS[1]
local pool = string.gsub(supervisors, 'supervisors$', '') .. 'pool:' .. ARGV[1]

if redis.call('HEXISTS', supervisors, ARGV[1]) == 0 then return 0 end
allow_when_full(supervisors)
redis.pcall('SET', pool, string.format('%.0f ', now_ms()) .. ARGV[2], 'PX', ARGV[3])
return 1
