-- common: what several transitions share; scripts.py puts these lines before each of them.
--
-- What is in Redis is input: anybody may have written it. So a number is read by one of these functions, which take
-- what is none as absent, and nothing that was read can make a command fail.
local EXACT = 9007199254740992 -- 2^53: up to here whole numbers are exact

-- A count as it is written: digits without leading zeros, at most 16; nil for anything else.
local function count_of(text)
  if not text or #text > 16 or not (text == '0' or string.find(text, '^[1-9]%d*$')) then return nil end
  return math.min(tonumber(text), EXACT)
end

-- attempts are "retries crashes requeues priority", and after a tab the record of the last crash, if there was
-- one; a message without an entry has "0 0 0 0", and so has one whose entry is unreadable. The priority is text, the
-- record has its tab.
local function attempts_of(attempts, id)
  local stored = redis.call('HGET', attempts, id) or ''
  local retries, crashes, requeues, sign, priority, crash = string.match(stored, '^(%d+) (%d+) (%d+) (-?)(%d+)(.*)$')
  retries, crashes, requeues = count_of(retries), count_of(crashes), count_of(requeues)
  local is_readable = retries and crashes and requeues and count_of(priority) and sign .. priority ~= '-0'
    and (crash == '' or string.find(crash, '^\t[^\n]+$'))
  if not is_readable then return 0, 0, 0, '0', '' end
  return retries, crashes, requeues, sign .. priority, crash
end

local function attempts_text(retries, crashes, requeues, priority, crash)
  local counts = {math.min(retries, EXACT), math.min(crashes, EXACT), math.min(requeues, EXACT)}
  return string.format('%.0f %.0f %.0f ', unpack(counts)) .. priority .. crash
end

-- Count in a hash of totals. A counter that is no number, or has no room left, is left alone for the operator to see,
-- and its spare counts on: nobody's work waits for a total.
local function count(totals, name, by)
  local reply = redis.pcall('HINCRBY', totals, name, by)
  if type(reply) == 'number' then return end
  local is_spoilt = string.find(reply.err, 'not an integer', 1, true) or string.find(reply.err, 'overflow', 1, true)
  if not is_spoilt then redis.call('HINCRBY', totals, name, by) end -- it raises what is wrong
  redis.pcall('HINCRBY', totals, name .. ':spare', by)
end

-- Where this script has put the last message of a priority, by priority and end.
local ends = {}

-- The score that makes a message the first or the last of its priority. A priority p has the scores from -p up to
-- -p + 1, an empty one begins in the middle. Where the doubles leave no room, equal scores go by id. Users that were
-- made for an earlier version may not look for the last one (ZREVRANGEBYSCORE): to them each one is empty.
local function score_of(prioritized, priority, at_head)
  local low = -tonumber(priority)
  local _, exponent = math.frexp(math.abs(low) + 1)
  local step = math.ldexp(1, exponent - 53)
  if step > 0.25 then return low end
  local place = priority .. (at_head and ' head' or ' tail')
  local at = ends[place]
  if not at then
    local from, to = string.format('%.17g', low), string.format('(%.17g', low + 1)
    local found = at_head and redis.call('ZRANGEBYSCORE', prioritized, from, to, 'WITHSCORES', 'LIMIT', 0, 1)
      or redis.pcall('ZREVRANGEBYSCORE', prioritized, to, from, 'WITHSCORES', 'LIMIT', 0, 1)
    at = tonumber(found[2])
  end
  local score = at and at + (at_head and -step or step) or low + 0.5
  if score < low or score >= low + 1 then score = at end
  ends[place] = score
  return score
end

-- Put an id where claims look for it: at the head (before all others of its priority) or at the tail.
local function enqueue(waiting, prioritized, id, priority, at_head)
  if priority ~= '0' then
    redis.call('ZADD', prioritized, score_of(prioritized, priority, at_head), id)
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
-- done twice. So every script meets a key of the wrong type here, or by a read, before the first write.
local function check_types(hashes, lists, sets)
  for _, key in ipairs(hashes) do redis.call('HLEN', key) end
  for _, key in ipairs(lists) do redis.call('LLEN', key) end
  for _, key in ipairs(sets) do redis.call('ZCARD', key) end
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- When a delay is over, in ms: in a hundred years at the latest.
local function due_after(delay_ms)
  return now_ms() + math.min(delay_ms, 3155760000000)
end

-- The first write of a script must free memory, else Redis at its memory limit refuses the whole script. Only for a
-- hash of workers, supervisors or totals, in which '' names nothing: in one of messages it may be a forged one.
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
