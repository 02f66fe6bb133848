-- resume: ends a pause, and returns a page of the messages that were put aside to the head of the queue.
--
-- The newest go first, so that in the end all are in their old order. Until all pages are done, 'resuming' is among the
-- pauses: workers take nothing meanwhile, and another caller ends what this one has begun. A message that falls under
-- another pause stays aside.
--
-- uses      numbers, attempts, totals, enqueue, guards, time, extras, history, pauses
-- edge      suspended -> waiting
-- KEYS[1]   meta         HASH  the queue's options
-- KEYS[2]   pauses       HASH  name of a pause -> who and why, JSON
-- KEYS[3]   suspended    ZSET  ids that were put aside
-- KEYS[4]   waiting      LIST  ids of default priority
-- KEYS[5]   prioritized  ZSET  ids of other priorities
-- KEYS[6]   messages     HASH  id -> envelope
-- KEYS[7]   attempts     HASH  id -> counts and priority
-- KEYS[8]   wake         ZSET  marker that idle workers block on
-- KEYS[9]   stats        HASH  totals
-- ARGV[1]   name of the pause; '' for those whose time is over, and to go on
-- ARGV[2]   where the page begins: '+inf', or as the last call returned it
-- returns   {1 a pause has ended | 0 there was none, how many messages have returned, where the next page begins, or ''} |
--           {-1} no such queue
local meta, pauses, suspended, waiting, prioritized = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local messages, attempts, wake, stats, name, from = KEYS[6], KEYS[7], KEYS[8], KEYS[9], ARGV[1], ARGV[2]

if redis.call('EXISTS', meta) == 0 then return {-1} end
check_types({messages, attempts, stats}, {waiting}, {suspended, prioritized, wake})
allow_when_full(pauses) -- this write checks the type, too
local ended, frees_some = 0, from ~= '+inf'
local function finish_pause(name)
  if redis.call('HDEL', pauses, name) == 0 then return end
  ended, frees_some = 1, frees_some or name ~= 'queue'
end
local begun = redis.call('HGET', pauses, 'resuming')
if name ~= '' then
  finish_pause(name)
else
  local flat = redis.call('HGETALL', pauses)
  for i = 1, #flat, 2 do
    local until_ms = flat[i] ~= 'resuming' and tonumber(decoded(flat[i + 1]).until_ms)
    if until_ms and until_ms <= now_ms() then finish_pause(flat[i]) end
  end
  frees_some = frees_some or redis.call('HLEN', pauses) == 0
end
local is_dead = string.find(messages, '}:dlq:', 1, true) -- there, nothing is put aside
if is_dead or not (frees_some or begun) then
  redis.call('ZADD', wake, 0, 'm')
  return {ended, 0, ''}
end

local active = pauses_of(messages) or {}
local flat = redis.call('ZREVRANGEBYSCORE', suspended, from, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
local ids, back, taken = {}, {}, {}
for i = 1, #flat, 2 do ids[#ids + 1] = flat[i] end
local envelopes = #ids > 0 and redis.call('HMGET', messages, unpack(ids)) or {}
for i, id in ipairs(ids) do
  if not envelopes[i] then
    taken[#taken + 1] = id
  elseif not is_paused(active, envelopes[i]) then
    taken[#taken + 1], back[#back + 1] = id, id
  end
end
local counts, plain, returned = #back > 0 and redis.call('HMGET', attempts, unpack(back)) or {}, {}, #back
for i, id in ipairs(back) do
  local _, _, _, priority = counts_of(counts[i])
  if priority == '0' then plain[#plain + 1] = id else enqueue(waiting, prioritized, id, priority, true) end
end
if #plain > 0 then redis.call('RPUSH', waiting, unpack(plain)) end -- the newest first: the oldest is the head
if #taken > 0 then redis.call('ZREM', suspended, unpack(taken)) end
if #taken > returned then count(stats, 'missing', #taken - returned) end
for _, id in ipairs(back) do note(messages, id, 'resumed', {}) end
if #flat == 200 then -- workers are held off from the first page on that returns something
  local holds = returned > 0 or (tonumber(decoded(begun).until_ms) or 0) > 0
  redis.call('HSET', pauses, 'resuming', string.format('{"until_ms":%.0f}', holds and due_after(RESUMING_MS) or 0))
  return {ended, returned, '(' .. flat[200]}
end
redis.call('HDEL', pauses, 'resuming')
redis.call('ZADD', wake, 0, 'm')
return {ended, returned, ''}
