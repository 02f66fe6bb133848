-- publish: new messages, all with the same options, become waiting or delayed.
--
-- A publisher numbers its requests. A number that was already seen was executed: so a request may be sent again after
-- a lost reply, and a copy that executes late changes nothing. One that is sent before the reply to another is there
-- names it, and is refused unless that was executed: so nothing is stored behind a gap, and the last number tells of all.
-- Where a key has the wrong type, what has been written by then is taken back: all or nothing.
--
-- edge      new -> waiting | delayed
-- KEYS[1]   meta         HASH    the queue exists if this has a field `retry`
-- KEYS[2]   messages     HASH    id -> envelope
-- KEYS[3]   attempts     HASH    id -> counts and priority
-- KEYS[4]   waiting      LIST    ids of default priority
-- KEYS[5]   prioritized  ZSET    ids of another priority
-- KEYS[6]   delayed      ZSET    id -> due time in ms
-- KEYS[7]   wake         ZSET    the marker that idle workers block on
-- KEYS[8]   stats        HASH    totals
-- KEYS[9]   publisher    STRING  the number of this publisher's last request
-- ARGV[1]   request number
-- ARGV[2]   number of the request that must have been executed before, or 0
-- ARGV[3]   delay in ms
-- ARGV[4]   priority
-- ARGV[5..] id, envelope, ...  in publish order
-- returns   how many were published (also for a repeated request), -1 no such queue, -2 the request before is missing
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, publisher = KEYS[7], KEYS[8], KEYS[9]
local request, before, delay_ms, priority = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local count = (#ARGV - 4) / 2

local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
local executed = tonumber(redis.call('GET', publisher) or '0')
if executed >= request then return count end
if executed < before then return -2 end

local ids = {}
for i = 5, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end

-- Its place comes last, so that what has to be taken back after an error is in hashes only.
local counted = false
local function write()
  redis.call('HSET', messages, unpack(ARGV, 5))
  if priority ~= '0' or retry ~= '0' then
    for _, id in ipairs(ids) do redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
  end
  redis.call('HINCRBY', stats, 'published', count)
  counted = true
  redis.call('ZADD', wake, 0, 'm')
  if delay_ms > 0 then
    local due = now_ms() + delay_ms
    for _, id in ipairs(ids) do redis.call('ZADD', delayed, due, id) end
  elseif priority ~= '0' then
    for _, id in ipairs(ids) do enqueue(waiting, prioritized, id, priority) end
  else
    redis.call('LPUSH', waiting, unpack(ids))
  end
end

local done, failure = pcall(write)
if not done then
  redis.pcall('HDEL', messages, unpack(ids))
  redis.pcall('HDEL', attempts, unpack(ids))
  if counted then redis.call('HINCRBY', stats, 'published', -count) end
  error(failure, 0)
end
redis.call('SET', publisher, request, 'EX', 120)
return count
