-- unregister: removes a supervisor that leaves, or that was silent for a whole lease and has no workers left.
--
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- ARGV[1]  supervisor id
-- ARGV[2]  act only if the counter still has this value; '' for no condition
-- returns  1 done, 0 it was not registered or is alive
local supervisors = KEYS[1]

if ARGV[2] ~= '' and redis.call('HGET', supervisors, ARGV[1]) ~= ARGV[2] then return 0 end
local removed = redis.call('HDEL', supervisors, ARGV[1])
-- Its report and what it uses go with it, or expire if this user of Redis may not delete them (see `report`).
local base = string.gsub(supervisors, 'supervisors$', '')
local pool, metrics = base .. 'pool:' .. ARGV[1], base .. 'metrics'
redis.pcall('DEL', pool)
redis.pcall('HDEL', metrics, 'u:' .. ARGV[1], 'w:' .. ARGV[1])
return removed
