-- update: changes the given options of a queue and leaves the others as they are.
--
-- A repetition writes the same values again. The queue is no longer implicit: someone has chosen options.
--
-- uses      time, extras, history
-- KEYS[1]   meta       HASH  the queue's options
-- KEYS[2]   dead_meta  HASH  options of its dead-letter queue (the same key if it is one itself)
-- ARGV[1]   1 to create the dead-letter queue too, else 0
-- ARGV[2]   the layout version of these options
-- ARGV[3..] field, value, ... of the options
-- returns   {the value of each field before, or false} in the order of the fields | -1 no such queue |
--           -2 its options have another layout: nothing is changed
local meta, dead_meta, layout = KEYS[1], KEYS[2], ARGV[2]

if redis.call('EXISTS', meta) == 0 then return -1 end
if (redis.call('HGET', meta, 'layout') or layout) ~= layout then return -2 end
local creates_dead = ARGV[1] == '1' and redis.call('EXISTS', dead_meta) == 0
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'history' and ARGV[i + 1] == '1' then redis.call('HLEN', beside(meta, 'extras')) end
end

local before = {}
redis.call('HDEL', meta, 'implicit') -- the first write may free memory, so Redis allows the rest at its memory limit
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'history' then mark_history(meta, ARGV[i + 1]) end
  local value = redis.call('HGET', meta, ARGV[i])
  before[#before + 1] = value
  if value ~= ARGV[i + 1] then redis.call('HSET', meta, ARGV[i], ARGV[i + 1]) end
end
if creates_dead then redis.call('HSET', dead_meta, 'layout', '1', 'retry', '0', 'implicit', '1') end
return before
