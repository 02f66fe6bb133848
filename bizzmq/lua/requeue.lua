-- requeue: a worker is gone; what it held goes back to the head of its queue in its old order.
--
-- Its registration ends in the same step, so there is no moment in which two workers own a message.
-- Messages that it had finished are acked on its behalf. Only the one that was running is blamed, and
-- that only for a crash, or for a limit that it has passed. With its last permitted crash it is quarantined; a
-- passed limit is a failure like any other, whose outcome the caller has decided.
--
-- edge      processing -> waiting (requeue), processing -> gone (ack), processing -> dead-lettered | parked (quarantine),
-- edge      processing -> waiting | delayed (retry), processing -> dead-lettered | parked (dead-letter),
-- edge      processing -> gone (discard)
-- KEYS[1]   workers        HASH  worker id -> supervisor id
-- KEYS[2]   supervisors    HASH  supervisor id -> beat counter
-- KEYS[3]   processing     LIST  ids that the worker held
-- KEYS[4]   waiting        LIST  ids of default priority
-- KEYS[5]   prioritized    ZSET  ids of another priority
-- KEYS[6]   messages       HASH  id -> envelope
-- KEYS[7]   attempts       HASH  id -> counts and priority
-- KEYS[8]   wake           ZSET  the marker that idle workers block on
-- KEYS[9]   stats          HASH  totals
-- KEYS[10]  dead_list      LIST  `waiting` of the dead-letter queue, or the own `parked`
-- KEYS[11]  dead_messages  HASH  its envelopes
-- KEYS[12]  dead_meta      HASH  its options
-- KEYS[13]  dead_wake      ZSET  its marker
-- KEYS[14]  delayed        ZSET  id -> due time in ms
-- KEYS[15]  releases       HASH  worker id -> number of its last release
-- ARGV[1]   worker id
-- ARGV[2]   a supervisor id: act only if its beat counter is still ARGV[3]; or '' for no such condition
-- ARGV[3]   the counter that was watched standing still; '' for a supervisor that is not registered
-- ARGV[4]   the last id that it finished, or ''
-- ARGV[5]   the id that it was running, or ''
-- ARGV[6]   what happened: 'crash' (blame the running one), 'failed' (it has passed a limit), 'stopped' (blame
--           nobody), 'silent' (nobody knows what ran)
-- ARGV[7]   how many crashes quarantine a message
-- ARGV[8]   the record of the crash or of the failure, JSON
-- ARGV[9]   for 'failed': 'retry', 'dead-letter' or 'discard'
-- ARGV[10]  for a retry: its attempts from now on
-- ARGV[11]  for a retry: delay in ms
-- returns   {1, requeued, acked, quarantined id or '', crash count of the running id or 0} |
--           {-1} not registered | {-2} the supervisor lives
local workers, supervisors, processing, waiting, prioritized = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local messages, attempts, wake, stats = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local dead_list, dead_messages, dead_meta, dead_wake = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local worker, supervisor, counter, last_finished, running = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local what, crash_limit, record = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local delayed, releases, outcome, counted, delay_ms = KEYS[14], KEYS[15], ARGV[9], ARGV[10], tonumber(ARGV[11])

if supervisor ~= '' and (redis.call('HGET', supervisors, supervisor) or '') ~= counter then return {-2} end
if redis.call('HEXISTS', workers, worker) == 0 then return {-1} end
check_types({messages, attempts, stats, releases, dead_messages}, {waiting, dead_list},
  {prioritized, delayed, wake, dead_wake})

local ids = redis.call('LRANGE', processing, 0, -1) -- newest first
allow_when_full(workers)
local left, begun = #ids, 0
for i = 1, #ids do
  if ids[i] == last_finished and last_finished ~= '' then left = i - 1 end -- it ran in order: this one and all older ones are finished
  if ids[i] == running and running ~= '' then begun = i end
end
if begun > left then left = #ids end -- what runs is no newer: that id was finished in an earlier claim, and has been stored anew
for i = left + 1, #ids do
  redis.call('HDEL', messages, ids[i])
  redis.call('HDEL', attempts, ids[i])
end

-- The outcome of the message that has passed a limit.
local function settle_failed(id, priority)
  if outcome == 'retry' then
    redis.call('HSET', attempts, id, counted)
    if delay_ms > 0 then
      redis.call('ZADD', delayed, due_after(delay_ms), id)
    else
      enqueue(waiting, prioritized, id, priority)
    end
    count(stats, 'retried', 1)
    redis.call('ZADD', wake, 0, 'm')
  elseif outcome == 'dead-letter' then
    bury(id, record, messages, dead_list, dead_messages, dead_meta, dead_wake)
    redis.call('HDEL', attempts, id)
    count(stats, 'dead_lettered', 1)
  else
    redis.call('HDEL', messages, id)
    redis.call('HDEL', attempts, id)
    count(stats, 'discarded', 1)
  end
end

local requeued, quarantined, crash_count = 0, '', 0
for i = 1, left do
  local id = ids[i]
  local retries, crashes, requeues, priority, crash = attempts_of(attempts, id)
  local is_running = id == running and running ~= ''
  local ran = is_running or what == 'silent'
  if is_running and what == 'crash' then
    crashes = crashes + 1
    crash_count = crashes
  elseif ran then
    requeues = requeues + 1
  end
  if is_running and what == 'failed' then
    settle_failed(id, priority)
  elseif is_running and what == 'crash' and crashes >= crash_limit then
    local whole = dead_messages == messages and with_handler_error(redis.call('HGET', messages, id), record) or record
    bury(id, whole, messages, dead_list, dead_messages, dead_meta, dead_wake)
    redis.call('HDEL', attempts, id)
    count(stats, 'dead_lettered', 1)
    quarantined = id
  else
    if ran then
      if what == 'crash' then crash = '\t' .. record end
      redis.call('HSET', attempts, id, attempts_text(retries, crashes, requeues, priority, crash))
    end
    enqueue(waiting, prioritized, id, priority, true)
    requeued = requeued + 1
  end
end

redis.call('DEL', processing)
redis.call('HDEL', workers, worker)
redis.call('HDEL', releases, worker)
if #ids > left then count(stats, 'acked', #ids - left) end
if requeued > 0 then
  count(stats, 'requeued', requeued)
  redis.call('ZADD', wake, 0, 'm')
end
return {1, requeued, #ids - left, quarantined, crash_count}
