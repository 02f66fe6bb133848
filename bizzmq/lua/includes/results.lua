-- results: stores what has become of a message, and tells those who wait for it. Needs time, extras, history.
--
-- A result is a text that expires: a line with the state, the number of the delivery, its start and its end in ms since
-- the epoch (divided by tabs; what is not known is empty), and then JSON. It is stored before the message is removed, so
-- a script that Redis refuses in the middle leaves no end without a result.
local LONGEST_NOTICE = 4096

-- Replaces any value of the key. The caller has written something that frees memory.
local function store_result(key, ttl_ms, text)
  redis.call('SET', key, text, 'PX', ttl_ms)
end

-- Sends stored results to those who wait: their channels have the names of the keys. A long one is not sent; the waiter
-- reads it. A user without the right to publish only makes waits longer, which look for results from time to time.
local function announce(keys, texts)
  if #keys == 0 then return end
  local waiters = redis.pcall('PUBSUB', 'NUMSUB', unpack(keys))
  if waiters.err then return end
  for i, key in ipairs(keys) do
    if waiters[2 * i] ~= 0 then redis.pcall('PUBLISH', key, #texts[i] > LONGEST_NOTICE and '' or texts[i]) end
  end
end

-- How long the result of a message is kept, in ms, 0 for not at all: its options say so. In JSON, a text contains no
-- bare quote, so only a name can match. An absurd time of a forged message is a hundred years.
local function result_ttl_ms(envelope)
  local newline = envelope and string.find(envelope, '\n', 1, true)
  if not newline then return 0 end
  local options = string.match(string.sub(envelope, 1, newline - 1), '^[^\t]*\t([^\t]*)')
  local ttl_s = options and tonumber(string.match(options, '"result_ttl_s":([%d.eE+-]+)') or '0')
  if not ttl_s or not (ttl_s > 0) then return 0 end
  return math.max(1, math.floor(math.min(ttl_s * 1000, 3155760000000)))
end

-- Stores that a message has failed for good, if its result is kept. A dead letter goes on, and so does its history.
local function store_failure(key, envelope, state, record)
  local ttl_ms = result_ttl_ms(envelope)
  if ttl_ms == 0 then return end
  local time = redis.call('TIME')
  local text = string.format('%s\t\t\t%.0f\n', state, time[1] * 1000 + math.floor(time[2] / 1000)) .. record
  redis.call('DEL', key) -- so that Redis at its memory limit permits the rest
  local kept_ms = string.format('%.0f', ttl_ms)
  store_result(key, kept_ms, text)
  if state ~= 'dead_lettered' and keeps_history(key) then keep_history(key, kept_ms, state, {why = why_of(record)}) end
  announce({key}, {text})
end
