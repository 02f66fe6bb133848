-- replay: returns one dead letter to the tail of its original queue, with new counts. Its failure is no result any more.
--
-- A unique message takes its key again, unless another message has it. One that had to be started in time may be started
-- at any time now.
--
-- An edited message replaces the dead letter in the same step, under the same id. The version of the dead letter is the
-- fence: one that has failed again since the caller has read it has another header, and stays.
--
-- uses      numbers, totals, enqueue, guards, envelopes, time, extras, history, repetitions
-- edge      dead-lettered -> waiting, parked -> waiting
-- KEYS[1]   dead_waiting      LIST    ids of default priority
-- KEYS[2]   dead_prioritized  ZSET    ids of other priorities
-- KEYS[3]   dead_delayed      ZSET    ids that wait for their retry
-- KEYS[4]   dead_parked       LIST    ids that were parked
-- KEYS[5]   dead_messages     HASH    envelopes of the dead letters
-- KEYS[6]   dead_attempts     HASH    their counts
-- KEYS[7]   meta              HASH    options of the original queue
-- KEYS[8]   waiting           LIST    ids of default priority
-- KEYS[9]   prioritized       ZSET    ids of other priorities
-- KEYS[10]  messages          HASH    id -> envelope
-- KEYS[11]  attempts          HASH    id -> counts and priority
-- KEYS[12]  wake              ZSET    marker that idle workers block on
-- KEYS[13]  stats             HASH    totals
-- KEYS[14]  result            STRING  what has become of the message
-- ARGV[1]   id
-- ARGV[2]   its priority
-- ARGV[3]   the SHA1 of its header line as the caller has read it, '' for any
-- ARGV[4]   the edited envelope, '' for the stored one without its error record
-- ARGV[5]   the caller's nonce, '' for none
-- returns   1 done, 0 it is not there, has another version, or is being handled, -1 no such queue
local dead_waiting, dead_prioritized, dead_delayed, dead_parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dead_messages, dead_attempts, meta, waiting, prioritized = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local messages, attempts, wake, stats, result = KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local id, priority, read_version, edited, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
if not count_of(retry) then retry = '0' end
local envelope = redis.call('HGET', dead_messages, id)
if not envelope or (read_version ~= '' and redis.sha1hex(header_line(envelope)) ~= read_version) then
  local is_repeated = repeated_reply(messages, nonce, id .. read_version) or redis.call('HGET', messages, id) == edited
  return is_repeated and 1 or 0
end
check_types({messages, attempts, stats, dead_attempts}, {waiting, dead_waiting, dead_parked},
  {prioritized, wake, dead_delayed, dead_prioritized})
local entry = (entries_of(messages, {id}) or {})[1]
local terms = decoded(entry)
local unique = type(terms.unique) == 'string' and terms.unique
if unique then
  local owner = redis.pcall('HGET', beside(messages, 'unique'), unique)
  if type(owner) == 'string' and owner ~= id and redis.call('HEXISTS', messages, owner) == 1 then return -2 end
end
-- It is removed before it is added, because only the removal shows that it was there.
local found = redis.call('LREM', dead_waiting, -1, id) == 1 or redis.call('LREM', dead_parked, -1, id) == 1
  or redis.call('ZREM', dead_delayed, id) == 1 or redis.call('ZREM', dead_prioritized, id) == 1
if not found then return 0 end

if edited ~= '' then
  envelope = edited
else
  local newline = string.find(envelope, '\n', 1, true) or 0
  local version, options = string.match(string.sub(envelope, 1, newline - 1), '^([^\t]*)\t?([^\t]*)')
  local header = (options == '' or options == '{}') and version or version .. '\t' .. options
  if newline > 0 then envelope = header .. string.sub(envelope, newline) end
end
redis.call('HSET', messages, id, envelope)
if priority ~= '0' or retry ~= '0' then redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
enqueue(waiting, prioritized, id, priority)
if unique then redis.pcall('HSET', beside(messages, 'unique'), unique, id) end
if terms.expires_ms or terms.superseded then
  terms.expires_ms, terms.superseded = nil, nil
  redis.pcall('HSET', beside(messages, 'extras'), id, cjson.encode(terms))
end
note(messages, id, 'replayed', {why = edited ~= '' and 'edited'})
redis.call('DEL', result)
redis.pcall('DEL', beside_result(result, 'history'), beside_result(result, 'output'))
redis.call('HDEL', dead_messages, id)
redis.call('HDEL', dead_attempts, id)
keep_reply(messages, nonce, id .. read_version, 1)
count(stats, 'replayed', 1)
redis.call('ZADD', wake, 0, 'm')
return 1
