-- pause_schedule: stops a schedule, for good or until a time. A second pause replaces the first.
--
-- uses      guards, numbers, fires
-- KEYS[1]   schedules  HASH  schedule -> definition
-- KEYS[2]   due        ZSET  schedule -> when it fires next, in ms
-- KEYS[3]   fires      HASH  schedule -> last fire, counts, pause
-- ARGV[1]   name
-- ARGV[2]   the record of the pause: JSON
-- ARGV[3]   when it ends, in ms, or '+inf'
-- returns   1 done, 0 no such schedule
local schedules, due, fires = KEYS[1], KEYS[2], KEYS[3]
local name, record, until_ms = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HEXISTS', schedules, name) == 0 then return 0 end
check_types({fires}, {}, {due})
allow_when_full(fires)
local state = fires_of(fires, name)
state.pause = '\t' .. record
store_fires(fires, name, state)
redis.call('ZADD', due, until_ms, name)
return 1
