-- put_schedule: adds a schedule, or replaces its definition. A paused schedule stays paused.
--
-- uses      guards, numbers, fires
-- KEYS[1]   meta       HASH  the queue's options
-- KEYS[2]   schedules  HASH  schedule -> definition
-- KEYS[3]   due        ZSET  schedule -> when it fires next, in ms
-- KEYS[4]   fires      HASH  schedule -> last fire, counts, pause
-- ARGV[1]   name
-- ARGV[2]   the definition as the caller has read it, '' if there was none
-- ARGV[3]   the new definition
-- ARGV[4]   when it fires next
-- ARGV[5]   '1' if that replaces the due time, '0' if a due time stays
-- returns   1 done, 0 another client has changed it meanwhile, -1 no such queue
local meta, schedules, due, fires = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, before, after, next_due, is_new = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'

if redis.call('EXISTS', meta) == 0 then return -1 end
local current = redis.call('HGET', schedules, name) or ''
if current ~= before and current ~= after then return 0 end
check_types({}, {}, {due})
local is_paused = fires_of(fires, name).pause ~= ''
local has_due = redis.call('ZSCORE', due, name)

if not has_due or (is_new and not is_paused and current ~= after) then
  redis.call('ZADD', due, is_paused and '+inf' or next_due, name)
end
redis.call('HSET', schedules, name, after)
return 1
