-- create: a queue comes into being, and with it, if asked for, its dead-letter queue.
--
-- One that nobody created by name is implicit, as a dead-letter queue is, or one that a pool has made: a later create
-- with chosen options still sets them. The number of shards stays what it is, since others are at work by it.
--
-- KEYS[1]   meta       HASH  the queue's options
-- KEYS[2]   dead_meta  HASH  the options of its dead-letter queue (the same key if it is one itself)
-- ARGV[1]   1 if a dead-letter queue is wanted, else 0
-- ARGV[2]   1 if nobody has chosen these options, else 0
-- ARGV[3..] field, value, ... of the options
-- returns   1 created, 0 it existed
local meta, dead_meta, implicit = KEYS[1], KEYS[2], ARGV[2] == '1'

local is_there = redis.call('EXISTS', meta) == 1
local exists = is_there and (implicit or redis.call('HEXISTS', meta, 'implicit') == 0)
if not exists then
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
