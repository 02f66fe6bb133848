-- remove_schedule: removes a schedule with its due time and its state. The messages that it has published stay.
--
-- uses      guards
-- KEYS[1]   schedules  HASH  schedule -> definition
-- KEYS[2]   due        ZSET  schedule -> when it fires next, in ms
-- KEYS[3]   fires      HASH  schedule -> last fire, counts, pause
-- ARGV[1]   name
-- ARGV[2]   the definition as the caller has read it, '' if there was none
-- returns   1 something was removed, 0 nothing was there, -1 another client has changed it meanwhile
local schedules, due, fires = KEYS[1], KEYS[2], KEYS[3]
local name, before = ARGV[1], ARGV[2]

local current = redis.call('HGET', schedules, name) or ''
check_types({fires}, {}, {due})
if current == '' and before ~= '' then return 0 end
if current ~= before then return -1 end
local removed = redis.call('HDEL', schedules, name)
removed = removed + redis.call('ZREM', due, name)
removed = removed + redis.call('HDEL', fires, name)
return removed > 0 and 1 or 0
