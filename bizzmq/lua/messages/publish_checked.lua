-- publish_checked: as publish, for messages that are unique or expire, and for queues of limited length.
--
-- A message whose unique key another one has is not stored: the other one stands for it, unchanged, or with the new
-- envelope in its old place. A repeated request returns the same ids as the first time. A request that is sent before
-- the reply to an earlier one names that one's number, and is refused unless it was executed. Keys of the wrong type are
-- met before the first write, or what was written is undone, so all messages are stored or none.
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
-- KEYS[9]   publisher    STRING  of this publisher's last requests of this kind, a line each, the last one first: its
--                                number, and the ids that it returned
-- ARGV[1]   request number
-- ARGV[2]   number of the request that must have been executed before, or 0
-- ARGV[3]   delay in ms
-- ARGV[4]   priority
-- ARGV[5]   after how many ms the messages expire, 0 for never
-- ARGV[6]   until when keys are kept: 'finished', 'started', or for how many ms
-- ARGV[7]   1 to replace the message that has the key, 0 to keep it
-- ARGV[8]   how many messages
-- ARGV[9..] id, envelope, ... in publish order; then the unique key of each or '', unless none has one; then the id that
--           each envelope is sealed for, if that matters
-- returns   {1, how many were dropped, the ids that stand for the messages; none if these are their own} |
--           {2, 0, the ids to seal the envelopes for} | {-1} no such queue | {-2} the earlier request is missing |
--           {-3} the publisher's number is forged | {-4, the limit} the queue is full: nothing is published
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, publisher = KEYS[7], KEYS[8], KEYS[9]
local request, before, delay_ms, priority = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local expires_ms, kept_until, throttle_ms, replaces = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[6]), ARGV[7] == '1'
local total = tonumber(ARGV[8])
local last_envelope = 8 + 2 * total
local last_key = last_envelope + total
local is_unique, is_sealed = #ARGV > last_envelope, #ARGV > last_key
local extras, unique = beside(messages, 'extras'), beside(messages, 'unique')

local retry, max_length, when_full = unpack(redis.call('HMGET', meta, 'retry', 'max_length', 'when_full'))
if not retry then return {-1} end
if not count_of(retry) then retry = '0' end
local limit = count_of(max_length)
local earlier = redis.call('GET', publisher) or '0 '
local executed = count_of(string.match(earlier, '^(%d+) '))
if not executed or executed > request + 100 then return {-3} end
if executed >= request then
  for number, returned in string.gmatch(earlier, '(%d+) ([^\n]*)') do
    if number == ARGV[1] then
      local ids = {}
      for id in string.gmatch(returned, '[^ ]+') do ids[#ids + 1] = id end
      return {1, 0, ids}
    end
  end
  return {-3}
end
if executed < before then return {-2} end

-- Later requests of a publisher for new messages skip most of these checks, which would cost more commands than one
-- message: they undo what they have written if a key has changed its type since.
if executed == 0 or replaces or throttle_ms or limit then
  check_types({messages, attempts, stats, extras, unique}, {waiting}, {prioritized, delayed, wake})
else
  if priority ~= '0' or retry ~= '0' then check_types({attempts}, {}, {prioritized}) end
  if delay_ms > 0 then check_types({}, {}, {delayed}) end
end
if throttle_ms then is_throttled(messages, '') end -- meets a key of the wrong type

-- What becomes of each message: it is new, or another one stands for it. One of this request may stand for a later one.
local owners = {}
if is_unique then
  owners = redis.call('HMGET', throttle_ms and beside(messages, 'throttled') or unique,
    unpack(ARGV, last_envelope + 1, last_key))
end
local stands, by_key, found, replaced, superseded, fresh, to_seal = {}, {}, nil, nil, nil, 0, false
for i = 1, total do
  local id, key, what = ARGV[7 + 2 * i], is_unique and ARGV[last_envelope + i] or '', nil
  local first = by_key[key]
  if first then
    id, what = stands[first], 'duplicate'
    if replaces then ARGV[8 + 2 * first] = ARGV[8 + 2 * i] end
  elseif key ~= '' then
    by_key[key] = i
    if owners[i] and throttle_ms then
      what = is_throttled(messages, key) and 'duplicate'
    elseif owners[i] then
      what = meeting(messages, delayed, owners[i], replaces)
      if not what then
        superseded = superseded or {}
        superseded[#superseded + 1] = owners[i]
      end
    end
    if what then id = owners[i] end
    if what and replaces then
      replaced = replaced or {}
      replaced[#replaced + 1] = {at = i, id = id, key = key, place = what}
    end
  end
  stands[i] = id
  if what then
    found = found or {}
    found[i] = what
  else
    fresh = fresh + 1
  end
  if is_sealed and ARGV[last_key + i] ~= id then to_seal = true end
end
if to_seal then return {2, 0, stands} end
local excess = limit and fresh > 0 and length_of(waiting, prioritized, delayed) + fresh - limit or 0
if excess > 0 and when_full ~= 'drop-oldest' then return {-4, max_length} end

-- The rest of an entry, behind a unique key if the message has one.
local rest = ''
if is_unique and kept_until == 'started' then rest = ',"until":"started"' end
if expires_ms > 0 then rest = rest .. ',"expires_ms":' .. string.format('%.0f', due_after(expires_ms)) end
local function entry_of(key)
  if key ~= '' and not throttle_ms then return '{"unique":' .. cjson.encode(key) .. rest .. '}' end
  return expires_ms > 0 and '{' .. string.match(rest, '"expires_ms".*') .. '}' or nil
end

-- The totals come first: at its memory limit Redis refuses them, and with them the rest.
if fresh > 0 then count(stats, 'published', fresh) end
if found then count(stats, 'duplicates', total - fresh) end
if fresh > 0 then
  local ids, fields, entries, owned = stands, nil, {}, {}
  if found then ids, fields = {}, {} end
  for i = 1, total do
    if not (found and found[i]) then
      local id, key = stands[i], is_unique and ARGV[last_envelope + i] or ''
      local entry = entry_of(key)
      if entry then entries[#entries + 1], entries[#entries + 2] = id, entry end
      if key ~= '' then owned[#owned + 1], owned[#owned + 2] = key, id end
      if found then ids[#ids + 1], fields[#fields + 1], fields[#fields + 2] = id, id, ARGV[8 + 2 * i] end
    end
  end
  local stored = redis.pcall('ZADD', wake, 0, 'm')
  if type(stored) == 'number' and #entries > 0 then stored = redis.pcall('HSET', extras, unpack(entries)) end
  if type(stored) == 'number' and #owned > 0 and not throttle_ms then
    stored = redis.pcall('HSET', unique, unpack(owned))
  end
  if type(stored) == 'number' and found then
    stored = redis.pcall('HSET', messages, unpack(fields))
  elseif type(stored) == 'number' then
    stored = redis.pcall('HSET', messages, unpack(ARGV, 9, last_envelope))
  end
  if type(stored) ~= 'number' then
    for i = 1, throttle_ms and 0 or #owned, 2 do redis.pcall('HDEL', unique, owned[i]) end
    redis.pcall('HDEL', extras, unpack(ids))
    count(stats, 'published', -fresh)
    if found then count(stats, 'duplicates', fresh - total) end
    return stored
  end
  for _, id in ipairs(superseded or {}) do give_up_key(messages, id) end
  if throttle_ms and #owned > 0 then throttle(messages, owned, throttle_ms) end
  if priority ~= '0' or retry ~= '0' then
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
end
for _, one in ipairs(replaced or {}) do -- with new counts: the new arguments have not failed yet
  redis.call('HSET', extras, one.id, entry_of(one.key))
  for _, name in ipairs({'checkpoints', 'progress', 'output', 'profiles'}) do redis.pcall('HDEL', beside(messages, name), one.id) end
  note(messages, one.id, 'replaced', {due_ms = one.place == 'delayed' and due_after(delay_ms) or nil})
  redis.call('HSET', messages, one.id, ARGV[8 + 2 * one.at])
  local _, _, _, own_priority = attempts_of(attempts, one.id)
  if own_priority ~= '0' or retry ~= '0' then
    redis.call('HSET', attempts, one.id, retry .. ' 0 0 ' .. own_priority)
  else
    redis.call('HDEL', attempts, one.id)
  end
  if one.place == 'delayed' then
    redis.call('ZADD', delayed, due_after(delay_ms), one.id)
    redis.call('ZADD', wake, 0, 'm')
  end
end
-- The request before is remembered too if its reply may be unread.
local returned = found and table.concat(stands, ' ') or ''
local line = before > 0 and '\n' .. string.match(earlier, '^[^\n]*') or ''
redis.call('SET', publisher, ARGV[1] .. ' ' .. returned .. line, 'EX', 120)
local dropped = 0
if excess > 0 then
  dropped = drop_oldest({waiting = waiting, prioritized = prioritized, delayed = delayed, messages = messages,
    attempts = attempts, stats = stats}, math.min(excess, fresh + MOST_OVERDUE))
end
return {1, dropped, found and stands or {}}
