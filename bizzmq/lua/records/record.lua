-- record: keeps the progress, the checkpoint, the output and the profile of a message that a worker holds. They end with
-- the message.
--
-- A checkpoint has a number, which grows with each of a worker, and its worker's id before it. An older one of the same
-- worker, from a copy of this request that executes late, replaces no newer one. Of two requests that a worker and its
-- janitor send, the last one need not be the newest.
--
-- The output of a failed attempt replaces that of an earlier one. On request, output is kept for some time in a key of
-- its own, also after the end of the message; where that is all, nothing is beside the message.
--
-- Profiles are large: a queue keeps those of MOST_PROFILES messages. A new one replaces that of the oldest message; ids
-- sort by time. Users from before profiles may not write them, and keep none.
--
-- uses      held, extras, guards
-- KEYS[1]   workers     HASH  worker id -> supervisor id
-- KEYS[2]   processing  LIST  ids that the worker holds
-- KEYS[3]   messages    HASH  id -> envelope
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its progress, JSON, or '' to leave it as it is
-- ARGV[4]   its checkpoint, or '' to leave it as it is
-- ARGV[5]   number of the checkpoint
-- ARGV[6]   the output of its failed attempt, or '' to leave it as it is
-- ARGV[7]   output that is kept for some time, or ''
-- ARGV[8]   for how long, in ms
-- ARGV[9]   samples of what it executes, or '' to leave them as they are
-- returns   1 done, also if a newer checkpoint is there, 0 the worker does not hold it, -1 not registered
local workers, processing, messages = KEYS[1], KEYS[2], KEYS[3]
local worker, id, progress, checkpoint, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local output, kept_output, kept_ms, profile = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local MOST_PROFILES = 64

local function keep_profile(profiles)
  local ids = redis.pcall('HKEYS', profiles)
  if ids.err then return end
  local has_one = false
  for _, other in ipairs(ids) do has_one = has_one or other == id end
  table.sort(ids)
  if #ids >= MOST_PROFILES and not has_one then redis.pcall('HDEL', profiles, ids[1]) end
  redis.pcall('HSET', profiles, id, profile)
end

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if not is_held(processing, id) or not redis.call('HGET', messages, id) then return 0 end
local checkpoints, all_progress = beside(messages, 'checkpoints'), beside(messages, 'progress')
check_types({checkpoints, all_progress}, {}, {})

if kept_output ~= '' then
  redis.call('SET', beside_result(beside(messages, 'result:' .. id), 'output'), kept_output, 'PX', kept_ms)
end
if progress == '' and checkpoint == '' and output == '' and profile == '' then return 1 end
redis.call('HSETNX', beside(messages, 'extras'), id, '{}') -- first: the end of the message removes what this names
if output ~= '' then redis.pcall('HSET', beside(messages, 'output'), id, output) end
if profile ~= '' then keep_profile(beside(messages, 'profiles')) end
if progress ~= '' then redis.call('HSET', all_progress, id, progress) end
if checkpoint ~= '' then
  local by, before = string.match(redis.call('HGET', checkpoints, id) or '', '^(%S+) (%d+)\n')
  if by ~= worker or tonumber(before) < number then
    redis.call('HSET', checkpoints, id, worker .. ' ' .. ARGV[5] .. '\n' .. checkpoint)
  end
end
return 1
