-- publish_checked: as publish, for messages that are unique or expire, and for queues of limited length.
--
-- A message whose unique key another one has is not stored: the other one stands for it, unchanged, or with the new
-- envelope in its old place. A repeated request returns the same ids as the first time. Keys of the wrong type are met
-- before the first write, so all messages are stored or none.
--
-- uses      numbers, attempts, totals, enqueue, guards, time, held, extras, history, results, uniqueness, length
-- edge      new -> waiting | delayed (publish), waiting -> gone (drop), delayed -> gone (drop)
-- KEYS[1]   meta         HASH    options; the queue exists if there is a field `retry`
-- KEYS[2]   messages     HASH    id -> envelope
-- KEYS[3]   attempts     HASH    id -> counts and priority
-- KEYS[4]   waiting      LIST    ids of default priority
-- KEYS[5]   prioritized  ZSET    ids of other priorities
-- KEYS[6]   delayed      ZSET    id -> due time in ms
-- KEYS[7]   wake         ZSET    marker that idle workers block on
-- KEYS[8]   stats        HASH    totals
-- KEYS[9]   publisher    STRING  number of this publisher's last request of this kind, and the ids that it returned
-- ARGV[1]   request number
-- ARGV[2]   delay in ms
-- ARGV[3]   priority
-- ARGV[4]   after how many ms the messages expire, 0 for never
-- ARGV[5]   until when keys are kept: 'finished', 'started', or for how many ms
-- ARGV[6]   1 to replace the message that has the key, 0 to keep it
-- ARGV[7..] of each message, in publish order: id, its unique key or '', the id that its envelope is sealed for or '',
--           the envelope
-- returns   {1, how many were dropped, the ids that stand for the messages} | {2, 0, the ids to seal the envelopes for} |
--           {-1} no such queue | {-3} the publisher's number is forged | {-4, the limit} the queue is full:
--           nothing is published
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, publisher = KEYS[7], KEYS[8], KEYS[9]
local request, delay_ms, priority, expires_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local kept_until, throttle_ms, replaces = ARGV[5], tonumber(ARGV[5]), ARGV[6] == '1'
local extras, unique = beside(messages, 'extras'), beside(messages, 'unique')

local retry, max_length, when_full = unpack(redis.call('HMGET', meta, 'retry', 'max_length', 'when_full'))
if not retry then return {-1} end
if not count_of(retry) then retry = '0' end
local number, returned = string.match(redis.call('GET', publisher) or '0 ', '^(%d+) (.*)$')
local executed = count_of(number)
if not executed or executed > request + 100 then return {-3} end
if executed >= request then
  local ids = {}
  for id in string.gmatch(returned, '[^ ]+') do ids[#ids + 1] = id end
  return {1, 0, ids}
end
check_types({messages, attempts, stats, extras, unique}, {waiting}, {prioritized, delayed, wake})

-- What becomes of each message: it is new, or another one stands for it. One of this request may stand for a later one.
local new, replaced, superseded, stands, by_key, to_seal, duplicates = {}, {}, {}, {}, {}, false, 0
for i = 7, #ARGV, 4 do
  local one = {id = ARGV[i], key = ARGV[i + 1], sealed_for = ARGV[i + 2], envelope = ARGV[i + 3]}
  local earlier, owner, found = by_key[one.key], nil, nil
  if one.key ~= '' and not earlier then
    owner = throttle_ms and throttled_by(messages, one.key) or not throttle_ms and redis.call('HGET', unique, one.key)
    found = throttle_ms and owner and 'duplicate' or not throttle_ms and meeting(messages, delayed, owner, replaces) or nil
  end
  if earlier or found then
    local id = earlier and earlier.id or owner
    if replaces then
      if one.sealed_for ~= '' and one.sealed_for ~= id then to_seal = true end
      if earlier then
        earlier.envelope = one.envelope
      else
        earlier = {id = id, key = one.key, envelope = one.envelope, place = found}
        replaced[#replaced + 1], by_key[one.key] = earlier, earlier
      end
    elseif not earlier then
      by_key[one.key] = {id = id}
    end
    stands[#stands + 1], duplicates = id, duplicates + 1
  else
    new[#new + 1], stands[#stands + 1] = one, one.id
    if owner then superseded[#superseded + 1] = owner end
    if one.key ~= '' then by_key[one.key] = one end
    if one.sealed_for ~= '' and one.sealed_for ~= one.id then to_seal = true end
  end
end
if to_seal then return {2, 0, stands} end
local limit = count_of(max_length)
local excess = limit and #new > 0 and length_of(waiting, prioritized, delayed) + #new - limit or 0
if excess > 0 and when_full ~= 'drop-oldest' then return {-4, max_length} end

local due, expiry_ms = due_after(delay_ms), expires_ms > 0 and string.format('%.0f', due_after(expires_ms)) or nil
local function entry_of(key)
  local terms = {}
  if key ~= '' and not throttle_ms then terms[1] = '"unique":' .. cjson.encode(key) end
  if #terms > 0 and kept_until == 'started' then terms[#terms + 1] = '"until":"started"' end
  if expiry_ms then terms[#terms + 1] = '"expires_ms":' .. expiry_ms end
  return #terms > 0 and '{' .. table.concat(terms, ',') .. '}' or nil
end

-- The totals come first: at its memory limit Redis refuses them, and with them the rest.
if #new > 0 then count(stats, 'published', #new) end
if duplicates > 0 then count(stats, 'duplicates', duplicates) end
local fields, ids, entries, owners = {}, {}, {}, {}
for i, one in ipairs(new) do
  fields[2 * i - 1], fields[2 * i], ids[i] = one.id, one.envelope, one.id
  local entry = entry_of(one.key)
  if entry then entries[#entries + 1], entries[#entries + 2] = one.id, entry end
  if one.key ~= '' and throttle_ms then throttle(messages, one.key, one.id, throttle_ms) end
  if one.key ~= '' and not throttle_ms then owners[#owners + 1], owners[#owners + 2] = one.key, one.id end
end
if #new > 0 then
  redis.call('ZADD', wake, 0, 'm')
  if #entries > 0 then redis.call('HSET', extras, unpack(entries)) end
  if #owners > 0 then redis.call('HSET', unique, unpack(owners)) end
  for _, id in ipairs(superseded) do give_up_key(messages, id) end
  redis.call('HSET', messages, unpack(fields))
  if priority ~= '0' or retry ~= '0' then
    for _, id in ipairs(ids) do redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
  end
  if delay_ms > 0 then
    for _, id in ipairs(ids) do redis.call('ZADD', delayed, due, id) end
  elseif priority ~= '0' then
    for _, id in ipairs(ids) do enqueue(waiting, prioritized, id, priority) end
  else
    redis.call('LPUSH', waiting, unpack(ids))
  end
end
for _, one in ipairs(replaced) do -- with new counts: the new arguments have not failed yet
  redis.call('HSET', extras, one.id, entry_of(one.key))
  for _, name in ipairs({'checkpoints', 'progress', 'output'}) do redis.pcall('HDEL', beside(messages, name), one.id) end
  note(messages, one.id, 'replaced', {due_ms = one.place == 'delayed' and due or nil})
  redis.call('HSET', messages, one.id, one.envelope)
  local _, _, _, own_priority = attempts_of(attempts, one.id)
  if own_priority ~= '0' or retry ~= '0' then
    redis.call('HSET', attempts, one.id, retry .. ' 0 0 ' .. own_priority)
  else
    redis.call('HDEL', attempts, one.id)
  end
  if one.place == 'delayed' then
    redis.call('ZADD', delayed, due, one.id)
    redis.call('ZADD', wake, 0, 'm')
  end
end
redis.call('SET', publisher, request .. ' ' .. table.concat(stands, ' '), 'EX', 120)
local keys = {waiting = waiting, prioritized = prioritized, delayed = delayed, messages = messages, attempts = attempts,
  stats = stats}
return {1, excess > 0 and drop_oldest(keys, excess) or 0, stands}
