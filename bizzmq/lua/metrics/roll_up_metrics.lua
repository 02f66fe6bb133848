-- roll_up_metrics: replaces reports of a queue's history by chunks that contain them.
--
-- The chunks were made by the caller from the stored ones and from the reports, so the version is the fence: of two
-- callers, one counts.
--
-- uses      guards
-- KEYS[1]   metrics  HASH  the history: see bizzmq/metrics/history.py
-- ARGV[1]   the version that the caller has read; '' for none
-- ARGV[2]   the new version
-- ARGV[3]   how many fields are set
-- ARGV[4..] field and value of each of them, and the fields to delete
-- returns   1 done, 0 another caller came first
local metrics, version, new_version, count = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local LIFE_MS = 2678400000

if (redis.call('HGET', metrics, 'v') or '') ~= version then return 0 end -- it checks the type, too
allow_when_full(metrics)
local last_set = 3 + 2 * count
for i = 4, #ARGV do -- deletes first: the history does not grow meanwhile
  if i > last_set then redis.call('HDEL', metrics, ARGV[i]) end
end
for i = 4, last_set, 2 do redis.call('HSET', metrics, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', metrics, 'v', new_version)
redis.call('PEXPIRE', metrics, LIFE_MS)
return 1
