-- purge: deletes the oldest messages of a list, up to the newest that was there when the purge began.
--
-- The ten newest messages are its marks. New messages push them along the list, and everything older than the first
-- mark found was there at the beginning. If no mark is left, workers have claimed all of them, and all that was older.
--
-- A repetition after a lost reply deletes nothing more.
--
-- uses      totals, guards, extras, repetitions
-- edge      waiting -> gone, parked -> gone
-- KEYS[1]   place     LIST  `waiting` or `parked`
-- KEYS[2]   messages  HASH  id -> envelope
-- KEYS[3]   attempts  HASH  id -> counts and priority
-- KEYS[4]   stats     HASH  totals
-- ARGV[1]   how many at most, up to 100; 0 only sets the marks
-- ARGV[2]   how many messages are newer, as the last call returned it; -1 to begin
-- ARGV[3]   the caller's nonce, '' for none
-- ARGV[4]   how many steps of its purge were before
-- ARGV[5..] the marks, as the last call returned them
-- returns   {how many were deleted, how many are newer, or -1 if nothing older is left, marks}
local place, messages, attempts, stats, limit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1])
local newer, nonce, step, marks, is_mark = tonumber(ARGV[2]), ARGV[3], place .. ARGV[4], {}, {}

check_types({messages, attempts, stats}, {}, {}) -- a read checks `place` before the first write
for i = 5, #ARGV do
  marks[#marks + 1] = ARGV[i]
  is_mark[ARGV[i]] = true
end
local repeated = repeated_reply(messages, nonce, step)
if repeated then return {tonumber(repeated), newer, marks} end
local length = redis.call('LLEN', place)
if newer < 0 then
  newer, marks = 0, redis.call('LRANGE', place, 0, 9)
else -- in pages: the whole list is read only if the last mark is gone
  local found = false
  while not found and newer < length do
    for _, id in ipairs(redis.call('LRANGE', place, newer, newer + 499)) do
      if is_mark[id] then
        found = true
        break
      end
      newer = newer + 1
    end
  end
end
local count_left = length - newer
if count_left <= 0 then return {0, -1, {}} end

if limit == 0 then return {0, newer, marks} end

local ids = redis.call('LRANGE', place, -math.min(limit, count_left), -1)
redis.call('LTRIM', place, 0, -#ids - 1)
local purged = redis.call('HDEL', messages, unpack(ids))
redis.call('HDEL', attempts, unpack(ids))
forget(messages, ids)
keep_reply(messages, nonce, step, purged)
if purged > 0 then count(stats, 'purged', purged) end
if #ids > purged then count(stats, 'missing', #ids - purged) end
if count_left == #ids then return {purged, -1, {}} end
return {purged, newer, marks}
