-- record: keeps the progress and the checkpoint of a message that a worker holds. Both end with the message.
--
-- A checkpoint has a number, which grows with each of a worker, and its worker's id before it. An older one of the same
-- worker, from a copy of this request that executes late, replaces no newer one. Of two requests that a worker and its
-- janitor send, the last one need not be the newest.
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
-- returns   1 done, also if a newer checkpoint is there, 0 the worker does not hold it, -1 not registered
local workers, processing, messages = KEYS[1], KEYS[2], KEYS[3]
local worker, id, progress, checkpoint, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if not is_held(processing, id) or not redis.call('HGET', messages, id) then return 0 end
local checkpoints, all_progress = beside(messages, 'checkpoints'), beside(messages, 'progress')
check_types({checkpoints, all_progress}, {}, {})

redis.call('HSETNX', beside(messages, 'extras'), id, '{}') -- first: the end of the message removes what this names
if progress ~= '' then redis.call('HSET', all_progress, id, progress) end
if checkpoint ~= '' then
  local by, before = string.match(redis.call('HGET', checkpoints, id) or '', '^(%S+) (%d+)\n')
  if by ~= worker or tonumber(before) < number then
    redis.call('HSET', checkpoints, id, worker .. ' ' .. ARGV[5] .. '\n' .. checkpoint)
  end
end
return 1
