-- publish: new messages, all with the same options, become waiting or delayed.
--
-- A publisher numbers its requests and sends one at a time. A number that was already seen was executed:
-- so a request may be sent again after a lost reply, and a copy that executes late changes nothing.
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
-- ARGV[2]   delay in ms
-- ARGV[3]   priority
-- ARGV[4..] id, envelope, ...  in publish order
-- returns   how many were published (also for a repeated request), -1 no such queue
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, publisher = KEYS[7], KEYS[8], KEYS[9]
local request, delay_ms, priority = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local count = (#ARGV - 3) / 2

local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
if tonumber(redis.call('GET', publisher) or '0') >= request then return count end

local ids = {}
for i = 4, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end

-- Its place comes last, so that what has to be taken back after an error is in hashes only.
local counted = false
local function write()
  redis.call('HSET', messages, unpack(ARGV, 4))
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
