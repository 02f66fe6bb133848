-- create: a queue comes into being, and with it, if asked for, its dead-letter queue.
--
-- A dead-letter queue that nobody created by name is implicit: a later create may still set its options.
--
-- KEYS[1]   meta       HASH  the queue's options
-- KEYS[2]   dead_meta  HASH  the options of its dead-letter queue (the same key if it is one itself)
-- ARGV[1]   1 if a dead-letter queue is wanted, else 0
-- ARGV[2..] field, value, ... of the options
-- returns   1 created, 0 it existed
local meta, dead_meta = KEYS[1], KEYS[2]

local exists = redis.call('EXISTS', meta) == 1 and redis.call('HEXISTS', meta, 'implicit') == 0
if not exists then
  redis.call('HSET', meta, 'created_ms', now_ms(), unpack(ARGV, 2))
  redis.call('HDEL', meta, 'implicit')
end
if ARGV[1] == '1' and redis.call('EXISTS', dead_meta) == 0 then
  redis.call('HSET', dead_meta, 'layout', '1', 'retry', '0', 'implicit', '1')
end
return exists and 0 or 1
