-- create: creates a queue and, on request, its dead-letter queue.
--
-- A queue is implicit if no one chose its options: a dead-letter queue, or one that a pool created. A later create with
-- chosen options replaces the implicit ones. The number of shards stays, because others work with it already.
--
-- uses      time, extras, history
-- KEYS[1]   meta       HASH  the queue's options
-- KEYS[2]   dead_meta  HASH  options of its dead-letter queue (the same key if it is one itself)
-- ARGV[1]   1 to create the dead-letter queue too, else 0
-- ARGV[2]   1 if no one chose these options, else 0
-- ARGV[3..] field, value, ... of the options
-- returns   1 created, 0 it existed
local meta, dead_meta, implicit = KEYS[1], KEYS[2], ARGV[2] == '1'

local is_there = redis.call('EXISTS', meta) == 1
local exists = is_there and (implicit or redis.call('HEXISTS', meta, 'implicit') == 0)
if not exists then
  for i = 3, #ARGV, 2 do
    if ARGV[i] == 'history' and ARGV[i + 1] == '1' then mark_history(meta, '1') end
  end
  local shards = redis.call('HGET', meta, 'shards')
  redis.call('HSET', meta, 'created_ms', now_ms(), unpack(ARGV, 3))
  if shards then
    redis.call('HSET', meta, 'shards', shards)
  elseif is_there then
    redis.call('HDEL', meta, 'shards')
  end
  if implicit then
    redis.call('HSET', meta, 'implicit', '1')
  else
    redis.call('HDEL', meta, 'implicit')
  end
end
if ARGV[1] == '1' and redis.call('EXISTS', dead_meta) == 0 then
  redis.call('HSET', dead_meta, 'layout', '1', 'retry', '0', 'implicit', '1')
end
return exists and 0 or 1
