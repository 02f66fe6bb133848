-- history: what has happened to messages, for queues whose options ask for it. Needs time, extras.
--
-- Such a queue has the field `history` in its hash `extras`: it is no id. Other queues do not even look for it, unless
-- something is beside a message. The history of a message is, in the hash of this name, the number of lines that were
-- left out, and a line for each event: the time in ms, the event, `dlq` if it was in the dead-letter queue, the worker,
-- the number of the delivery, until when it is delayed, and why, divided by tabs. The publish has no line, because the
-- id has its time. A refusal by Redis stops nothing.
local NOTED = 31 -- lines that are kept: the first one, and the last thirty

local is_noted
local function keeps_history(key)
  if is_noted == nil then
    is_noted = has_beside(key) and redis.pcall('HMGET', beside(key, 'extras'), 'history')[1] or false
  end
  return is_noted
end

-- Marks a queue as one that keeps histories, or not, as its option says. Its dead-letter queue follows it.
local function mark_history(meta, option)
  if string.find(meta, '}:dlq:', 1, true) then return end
  if option == '1' then
    redis.call('HSETNX', beside(meta, 'extras'), 'history', '1')
  else
    redis.pcall('HDEL', beside(meta, 'extras'), 'history') -- users from before this option need not have the right
  end
end

local function with_line(stored, line)
  local left_out, lines = string.match(stored or '', '^(%d+)\n(.+)$')
  if not left_out then return '0\n' .. line end
  local _, breaks = string.gsub(lines, '\n', '\n')
  if breaks + 1 >= NOTED then
    local first, rest = string.match(lines, '^([^\n]*\n)[^\n]*\n(.*)$')
    lines, left_out = first .. rest, left_out + 1
  end
  return string.format('%.0f\n', left_out) .. lines .. '\n' .. line
end

-- A line. `facts` may have: worker, delivery, due_ms, why.
local function event_line(key, event, facts)
  local side = string.find(key, '}:dlq:', 1, true) and 'dlq' or ''
  local function text(value) return (string.gsub(string.sub(tostring(value or ''), 1, 300), '%c', ' ')) end
  local due_ms = tonumber(facts.due_ms)
  local due = due_ms and string.format('%.0f', due_ms) or ''
  local when, delivery = string.format('%.0f', now_ms()), tostring(facts.delivery or '')
  return table.concat({when, event, side, text(facts.worker), delivery, due, text(facts.why)}, '\t')
end

-- Notes an event of a message that stays.
local function note(key, id, event, facts)
  if not keeps_history(key) then return end
  local history = beside(key, 'history')
  local stored = redis.pcall('HGET', history, id)
  if type(stored) == 'table' then return end
  if not stored then redis.pcall('HSETNX', beside(key, 'extras'), id, '{}') end
  redis.pcall('HSET', history, id, with_line(stored, event_line(key, event, facts)))
end

-- The type and the text of the error in a record.
local function why_of(record)
  local found = decoded(record)
  return tostring(found.error_type or 'Error') .. ': ' .. tostring(found.error or '')
end

-- Keeps the history of a message that ends for as long as its result, whose key is given. Its id is the key's end.
local function keep_history(result, ttl_ms, event, facts)
  if not keeps_history(result) then return end
  local stored = redis.pcall('HGET', beside(result, 'history'), string.match(result, '[^:]*$'))
  if type(stored) == 'table' then return end
  redis.pcall('SET', beside_result(result, 'history'), with_line(stored, event_line(result, event, facts)), 'PX', ttl_ms)
end
