-- resume_schedule: ends the pause of a schedule. It fires next at the given time; what it has missed is skipped.
--
-- uses      guards, numbers, fires
-- KEYS[1]   schedules  HASH  schedule -> definition
-- KEYS[2]   due        ZSET  schedule -> when it fires next, in ms
-- KEYS[3]   fires      HASH  schedule -> last fire, counts, pause
-- ARGV[1]   name
-- ARGV[2]   the record of the pause that ends, or '' for any
-- ARGV[3]   when it fires next, in ms, or '+inf'
-- returns   1 done, 2 it has no such pause, 0 no such schedule
local schedules, due, fires = KEYS[1], KEYS[2], KEYS[3]
local name, record, next_due = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HEXISTS', schedules, name) == 0 then return 0 end
check_types({fires}, {}, {due})
local state = fires_of(fires, name)
if state.pause == '' or (record ~= '' and state.pause ~= '\t' .. record) then return 2 end
allow_when_full(fires)
redis.call('ZADD', due, next_due, name)
state.pause = ''
store_fires(fires, name, state)
return 1
