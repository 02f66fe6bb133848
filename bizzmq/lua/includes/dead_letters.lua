-- dead_letters: moves a message to the dead-letter queue, or parks it if it is in one. Needs results, extras,
-- history.
--
-- An envelope with an error record after its options. It replaces an earlier record.
local function with_error(envelope, record)
  local newline = string.find(envelope, '\n', 1, true)
  if not newline then return envelope end
  local version, options = string.match(string.sub(envelope, 1, newline - 1), '^([^\t]*)\t?([^\t]*)')
  if options == '' then options = '{}' end
  return version .. '\t' .. options .. '\t' .. record .. string.sub(envelope, newline)
end

-- The error record that a dead letter has already, with the failure on the dead-letter queue as `handler_error`.
local function with_handler_error(envelope, record)
  local earlier = envelope and string.match(envelope, '^[^\t\n]*\t[^\t\n]*\t([^\n]+)}%s*\n')
  if not earlier or earlier == '{' then return record end
  return earlier .. ',"handler_error":' .. record .. '}'
end

-- Returns whether it has; an id without an envelope is missing, and nothing is stored. A dead letter has no unique key:
-- another message may take it. A message that keeps its result has failed for good, unless it is a dead letter already.
local function move_to_dead_letters(id, record, result, messages, dead_list, dead_messages, dead_meta, dead_wake)
  local envelope = redis.call('HGET', messages, id)
  if not envelope then return false end
  if dead_messages ~= messages then free_keys(messages, {id}, entries_of(messages, {id}) or {}) end
  if dead_messages ~= messages then store_failure(result, envelope, 'dead_lettered', record) end
  redis.call('HSET', dead_messages, id, with_error(envelope, record))
  redis.call('LPUSH', dead_list, id)
  if keeps_history(messages) then
    local event = dead_messages ~= messages and 'dead_lettered' or 'parked'
    note(messages, id, event, {worker = decoded(record).worker, why = why_of(record)})
  end
  if dead_messages ~= messages then
    if redis.call('EXISTS', dead_meta) == 0 then
      redis.call('HSET', dead_meta, 'layout', '1', 'retry', '0', 'implicit', '1')
    end
    redis.call('ZADD', dead_wake, 0, 'm')
    redis.call('HDEL', messages, id)
  end
  return true
end
