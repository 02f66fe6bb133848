-- cancel: ends messages as cancelled, or requests that of those that a worker holds.
--
-- The supervisor of the worker finds the request. Until the message has ended, whatever returns it to its queue ends it.
-- The first request for a message stays, so a repetition changes nothing.
--
-- uses      totals, guards, time, extras, history, results, cancels, repetitions
-- edge      waiting -> gone, delayed -> gone, parked -> gone, suspended -> gone
-- KEYS[1]   waiting      LIST  ids of default priority
-- KEYS[2]   prioritized  ZSET  ids of other priorities
-- KEYS[3]   delayed      ZSET  id -> due time in ms
-- KEYS[4]   parked       LIST  ids that were parked
-- KEYS[5]   messages     HASH  id -> envelope
-- KEYS[6]   attempts     HASH  id -> counts and priority
-- KEYS[7]   stats        HASH  totals
-- ARGV[1]   record of the cancel, JSON: who, when and why
-- ARGV[2]   'anywhere', or 'held' for ids that were seen in a worker's list: the lists are not searched for them
-- ARGV[3]   the caller's nonce, '' for none
-- ARGV[4..] ids, at most 100
-- returns   {how many have ended, how many are requested}: ids that are not stored are neither
local waiting, prioritized, delayed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local messages, attempts, stats, record, nonce = KEYS[5], KEYS[6], KEYS[7], ARGV[1], ARGV[3]
local extras, cancels = beside(messages, 'extras'), beside(messages, 'cancels')
local suspended, ids, request = sibling(messages, 'suspended'), {}, table.concat(ARGV, ' ')

check_types({messages, attempts, stats, extras, cancels}, {waiting, parked},
  {prioritized, delayed, suspended})
allow_when_full(stats)
for i = 4, #ARGV do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then return {0, 0} end

local ended_before, requested_before = string.match(repeated_reply(messages, nonce, request) or '', '^(%d+) (%d+)$')
if ended_before then return {tonumber(ended_before), tonumber(requested_before)} end
local sets = {} -- those that hold something
for _, set in ipairs({delayed, prioritized, suspended}) do
  if redis.call('ZCARD', set) > 0 then sets[#sets + 1] = set end
end
local function remove(id)
  local copies = 0
  for _, set in ipairs(sets) do copies = copies + redis.call('ZREM', set, id) end
  if copies > 0 then return true end
  return redis.call('LREM', waiting, -1, id) + redis.call('LREM', parked, -1, id) > 0
end

local stored, records, seen = redis.call('HMGET', messages, unpack(ids)), redis.call('HMGET', cancels, unpack(ids)), {}
local ended, ended_by, requested = {}, {}, 0
for i, id in ipairs(ids) do
  if stored[i] and not seen[id] then
    seen[id] = true
    if ARGV[2] == 'anywhere' and remove(id) then
      ended[#ended + 1], ended_by[#ended_by + 1] = id, records[i] or record
    else
      redis.call('HSETNX', extras, id, '{}')
      redis.call('HSETNX', cancels, id, record)
      if keeps_history(messages) then note(messages, id, 'cancel_requested', {why = decoded(record).error}) end
      requested = requested + 1
    end
  end
end
if #ended > 0 then
  end_all_cancelled(messages, ended, ended_by)
  keep_reply(messages, nonce, request, #ended .. ' ' .. requested)
end
return {#ended, requested}
