-- common: what several transitions share; scripts.py puts these lines before each of them.
--
-- attempts are "retries crashes requeues priority", and after a tab the record of the last crash, if there was
-- one; a message without an entry has "0 0 0 0".
local function attempts_of(attempts, id)
  local retries, crashes, requeues, priority =
    string.match(redis.call('HGET', attempts, id) or '0 0 0 0', '^(%d+) (%d+) (%d+) (-?%d+)')
  return tonumber(retries) or 0, tonumber(crashes) or 0, tonumber(requeues) or 0, priority or '0'
end

-- The record of a message's last crash, with the tab before it, or ''.
local function crash_of(attempts, id)
  return string.match(redis.call('HGET', attempts, id) or '', '\t.*$') or ''
end

-- Scores are negative priorities, as text: a Lua number would lose digits when it is written out.
local function negative(priority)
  if string.sub(priority, 1, 1) == '-' then return string.sub(priority, 2) end
  return '-' .. priority
end

-- Put an id where claims look for it: at the head (before all others of its priority) or at the tail.
local function enqueue(waiting, prioritized, id, priority, at_head)
  if priority ~= '0' then
    redis.call('ZADD', prioritized, negative(priority), id)
  elseif at_head then
    redis.call('RPUSH', waiting, id)
  else
    redis.call('LPUSH', waiting, id)
  end
end

-- Ask before moving: scripts are atomic but not transactional, so a message is added to where it goes
-- before it is removed from where it was. An error in between leaves it twice, never nowhere.
local function holds(processing, id)
  for _, held in ipairs(redis.call('LRANGE', processing, 0, -1)) do
    if held == id then return true end
  end
  return false
end

-- A script is no transaction: an error in its middle takes nothing back, and what is repeated after it would be
-- done twice. So whoever moves messages meets a key of the wrong type here, before the first write.
local function check_types(hashes, lists, sets)
  for _, key in ipairs(hashes) do redis.call('HLEN', key) end
  for _, key in ipairs(lists) do redis.call('LLEN', key) end
  for _, key in ipairs(sets) do redis.call('ZCARD', key) end
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The first write of a script must free memory, else Redis at its memory limit refuses the whole script.
local function allow_when_full(hash)
  redis.call('HDEL', hash, '')
end

-- An envelope with the record of an error behind its options, in place of an earlier record.
local function with_error(envelope, record)
  local newline = string.find(envelope, '\n', 1, true)
  if not newline then return envelope end
  local version, options = string.match(string.sub(envelope, 1, newline - 1), '^([^\t]*)\t?([^\t]*)')
  if options == '' then options = '{}' end
  return version .. '\t' .. options .. '\t' .. record .. string.sub(envelope, newline)
end

-- The record that a dead letter carries already, with what happened to it on its own queue as `handler_error`.
local function with_handler_error(envelope, record)
  local earlier = envelope and string.match(envelope, '^[^\t\n]*\t[^\t\n]*\t([^\n]+)}%s*\n')
  if not earlier or earlier == '{' then return record end
  return earlier .. ',"handler_error":' .. record .. '}'
end

-- Move an envelope to a dead-letter queue, or set it aside if this is one already.
local function bury(id, record, messages, dead_list, dead_messages, dead_meta, dead_wake)
  local envelope = redis.call('HGET', messages, id)
  if envelope then
    redis.call('HSET', dead_messages, id, with_error(envelope, record))
    redis.call('LPUSH', dead_list, id)
    if dead_messages ~= messages then
      if redis.call('EXISTS', dead_meta) == 0 then
        redis.call('HSET', dead_meta, 'layout', '1', 'retry', '0', 'implicit', '1')
      end
      redis.call('ZADD', dead_wake, 0, 'm')
      redis.call('HDEL', messages, id)
    end
  end
end
