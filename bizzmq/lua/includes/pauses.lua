-- pauses: what of a queue is paused, and the messages that are put aside for that. Needs extras, history, time, totals.
--
-- The hash `pauses` has 'queue', 'task:NAME' or 'key:KEY' -> JSON with who, why, and `until_ms` if it ends by itself. The
-- dead-letter queue has one of its own, 'dlq:queue'. While messages are on their way back, 'resuming' holds the queue, so
-- that no worker takes the newer ones first: for a few seconds after each page, in case the rest never comes.
local FOR_A_CENTURY_MS = 3155760000000
local RESUMING_MS = 10000
local known_pauses

-- The pauses that hold now, as name -> when it ends in ms; nil if there are none. What Redis refuses to show counts as no pause.
local function pauses_of(key)
  if known_pauses == nil and has_beside(key) then
    local flat = redis.pcall('HGETALL', beside(key, 'pauses'))
    local is_dead = string.find(key, '}:dlq:', 1, true)
    for i = 1, flat.err and 0 or #flat, 2 do
      local name, until_ms = flat[i], tonumber(decoded(flat[i + 1]).until_ms)
      if name == 'resuming' then
        name, until_ms = 'queue', until_ms or 0
      elseif name == 'dlq:queue' then
        name = 'dead'
      end
      if is_dead then name = name == 'dead' and 'queue' or 'dead' end
      until_ms = math.min(until_ms or math.huge, now_ms() + FOR_A_CENTURY_MS)
      if name ~= 'dead' and until_ms > now_ms() then
        known_pauses = known_pauses or {}
        known_pauses[name] = math.max(until_ms, known_pauses[name] or 0)
      end
    end
  end
  known_pauses = known_pauses or false
  return known_pauses or nil
end

-- Whether the task or the key of a message is paused.
local function is_paused(pauses, envelope)
  local options = envelope and string.match(envelope, '^[^\t\n]*\t([^\t\n]*)')
  if not options or options == '' then return false end
  local found = decoded(options)
  return (type(found.task) == 'string' and pauses['task:' .. found.task] ~= nil)
    or (type(found.key) == 'string' and pauses['key:' .. found.key] ~= nil)
end

-- The highest score in the set of what is put aside, 0 if there is none; nil if Redis refuses to tell: then nothing can
-- be put aside.
local function last_suspended(key)
  local last = redis.pcall('ZREVRANGEBYSCORE', sibling(key, 'suspended'), '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if last.err then return nil end
  return tonumber(last[2]) or 0
end

-- Puts ids aside, oldest first, behind this score: so they keep their order.
local function suspend(key, ids, score)
  local members = {}
  for i, id in ipairs(ids) do members[2 * i - 1], members[2 * i] = string.format('%.17g', score + i), id end
  redis.call('ZADD', sibling(key, 'suspended'), unpack(members))
  for _, id in ipairs(ids) do note(key, id, 'suspended', {}) end
  count(sibling(key, 'stats'), 'suspended', #ids)
end
