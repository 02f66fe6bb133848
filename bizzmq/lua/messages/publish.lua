-- publish: stores new messages, all with the same options, as waiting or delayed.
--
-- A publisher numbers its requests. A known number was executed, so a request may be sent again after a lost reply, and
-- a copy that executes late changes nothing. A request that is sent before the reply to an earlier one names that one's
-- number, and is refused unless it was executed: so no gap appears, and the last number confirms all before it.
-- If a key has the wrong type, all messages are stored or none.
--
-- uses      numbers, totals, enqueue, guards, time
-- edge      new -> waiting | delayed
-- KEYS[1]   meta         HASH    options; the queue exists if there is a field `retry`
-- KEYS[2]   messages     HASH    id -> envelope
-- KEYS[3]   attempts     HASH    id -> counts and priority
-- KEYS[4]   waiting      LIST    ids of default priority
-- KEYS[5]   prioritized  ZSET    ids of other priorities
-- KEYS[6]   delayed      ZSET    id -> due time in ms
-- KEYS[7]   wake         ZSET    marker that idle workers block on
-- KEYS[8]   stats        HASH    totals
-- KEYS[9]   publisher    STRING  number of this publisher's last request
-- ARGV[1]   request number
-- ARGV[2]   number of the request that must have been executed before, or 0
-- ARGV[3]   delay in ms
-- ARGV[4]   priority
-- ARGV[5..] id, envelope, ...  in publish order
-- returns   how many were published (also for a repeated request), -1 no such queue, -2 the earlier request is missing,
--           -3 the publisher's number is forged, -4 the queue's length is limited, so publish_checked is needed: nothing
--           is published
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, publisher = KEYS[7], KEYS[8], KEYS[9]
local request, before, delay_ms, priority = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local published = (#ARGV - 4) / 2

-- Users from before limited lengths may not run HMGET.
local options = redis.pcall('HMGET', meta, 'retry', 'max_length')
local retry, max_length = options[1], options[2]
if options.err then retry = redis.call('HGET', meta, 'retry') end
if not retry then return -1 end
if not count_of(retry) then retry = '0' end
-- A request may be repeated after a few later ones, never after many. So a much higher number is forged, and so is a
-- value that is not a number: to believe it would confirm messages that were never stored.
local executed = count_of(redis.call('GET', publisher) or '0')
if not executed or executed > request + 100 then return -3 end
if executed >= request then return published end
if executed < before then return -2 end
if max_length and max_length ~= '' then return -4 end

local ids = {}
for i = 5, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local has_attempts = priority ~= '0' or retry ~= '0'
if has_attempts then check_types({attempts}, {}, {prioritized}) end
if delay_ms > 0 then check_types({}, {}, {delayed}) end
if executed == 0 then check_types({messages, stats}, {waiting}, {delayed, wake}) end

-- Later requests of a publisher skip the second check, which would cost more commands than the message. The order of
-- the writes lets them undo what they have written if a key has changed its type since.
count(stats, 'published', published)
local marked = redis.pcall('ZADD', wake, 0, 'm')
local stored = type(marked) == 'number' and redis.pcall('HSET', messages, unpack(ARGV, 5)) or marked
if type(stored) ~= 'number' then
  count(stats, 'published', -published)
  return stored
end
if has_attempts then
  for _, id in ipairs(ids) do redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
end
local is_placed = false
if delay_ms <= 0 and priority ~= '0' then
  for _, id in ipairs(ids) do enqueue(waiting, prioritized, id, priority) end
  is_placed = true
elseif delay_ms <= 0 then
  is_placed = type(redis.pcall('LPUSH', waiting, unpack(ids))) == 'number'
end
if not is_placed then -- `waiting` refused them: they are due at once, and wait as soon as that key is repaired
  local due = due_after(delay_ms)
  for _, id in ipairs(ids) do redis.call('ZADD', delayed, due, id) end
end
redis.call('SET', publisher, request, 'EX', 120)
return published
