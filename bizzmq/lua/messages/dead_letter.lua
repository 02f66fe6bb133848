-- dead_letter: keeps a message that is not retried, with its error record.
--
-- On a dead-letter queue the message is parked: such a queue never discards. A message whose cancel was requested ends
-- instead.
--
-- uses      totals, guards, held, time, extras, history, results, dead_letters, cancels
-- edge      processing -> dead-lettered | parked, processing -> gone (cancel)
-- KEYS[1]   workers        HASH         worker id -> supervisor id
-- KEYS[2]   processing     LIST         ids that the worker holds
-- KEYS[3]   messages       HASH         id -> envelope
-- KEYS[4]   attempts       HASH         id -> counts and priority
-- KEYS[5]   stats          HASH         totals
-- KEYS[6]   dead_list      LIST         `waiting` of the dead-letter queue, or `parked` of this queue
-- KEYS[7]   dead_messages  HASH         its envelopes (the same as `messages` for a parked message)
-- KEYS[8]   dead_meta      HASH         its options
-- KEYS[9]   dead_wake      ZSET         its marker
-- KEYS[10]  result         STRING       what has become of the message
-- ARGV[1]   worker id
-- ARGV[2]   id
-- ARGV[3]   its attempts before: as the worker claimed them
-- ARGV[4]   error record, JSON
-- returns   1 done, 0 already done, -1 not registered
local workers, processing, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead_list, dead_messages, dead_meta, dead_wake, result = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local worker, id, attempts_before, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
if (redis.call('HGET', attempts, id) or '0 0 0 0') ~= attempts_before then return 0 end
if not is_held(processing, id) then return 0 end
check_types({messages, stats, dead_messages, dead_meta}, {dead_list}, {dead_wake})
local cancelled = cancelled_among(workers, {id})[id]
allow_when_full(workers)

if cancelled then
  end_cancelled(workers, id, cancelled)
  redis.call('LREM', processing, -1, id)
  return 1
end
local is_moved = move_to_dead_letters(id, record, result, messages, dead_list, dead_messages, dead_meta, dead_wake)
redis.call('LREM', processing, -1, id)
redis.call('HDEL', attempts, id)
count(stats, is_moved and 'dead_lettered' or 'missing', 1)
return 1
