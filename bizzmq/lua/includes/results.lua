-- results: stores what has become of a message, for those who wait for it.
--
-- A result is a stream of one entry: it ends each wait, however many wait, and it stays for those who ask later. It is
-- stored before the message is removed, so a script that Redis refuses in the middle leaves no end without a result.
-- Replaces any value of the key; the deletion makes Redis at its memory limit allow the rest. Redis allocates 4 kB for
-- the first entries of a stream, and frees what they do not need when it begins another block: for the padding, which
-- is deleted at once.
local function store_result(key, ttl_ms, fields)
  redis.call('DEL', key)
  redis.call('XADD', key, '*', unpack(fields))
  redis.call('XDEL', key, redis.call('XADD', key, '*', 'padding', string.rep('x', 4096)))
  redis.call('PEXPIRE', key, ttl_ms)
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

-- Stores that a message has failed for good, if its result is kept.
local function store_failure(key, envelope, state, record)
  local ttl_ms = result_ttl_ms(envelope)
  if ttl_ms > 0 then store_result(key, ttl_ms, {'state', state, 'error', record}) end
end

-- Stores the value that a message's handler has returned. `success` has the text of each field.
local function store_success(success)
  store_result(success.key, success.ttl_ms, {'state', 'succeeded', 'result', success.result,
    'delivery', success.delivery, 'started_ms', success.started_ms, 'finished_ms', success.finished_ms})
end
