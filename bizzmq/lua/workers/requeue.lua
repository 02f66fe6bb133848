-- requeue: returns the messages of a dead worker to the head of their queue, in their old order.
--
-- The worker's registration ends in the same step, so two workers never own a message. Messages that it had finished
-- are acked on its behalf, and their results are stored. One that keeps its result, which is lost, is not finished: it
-- runs again. Only the running message is blamed, and only for a crash or an exceeded limit. Its last permitted crash
-- quarantines it. An exceeded limit is a failure like any other: the caller has decided its outcome. So is a message
-- whose worker did not know its task: it goes back without blame. A message whose cancel was requested ends instead.
--
-- uses      numbers, attempts, totals, enqueue, guards, time, extras, history, results, dead_letters, cancels
-- edge      processing -> waiting (requeue), processing -> gone (ack), processing -> gone (discard),
-- edge      processing -> waiting | delayed (retry), processing -> dead-lettered | parked (dead-letter),
-- edge      processing -> dead-lettered | parked (quarantine), processing -> gone (cancel)
-- KEYS[1]   workers        HASH    worker id -> supervisor id
-- KEYS[2]   supervisors    HASH    supervisor id -> beat counter
-- KEYS[3]   processing     LIST    ids that the worker holds
-- KEYS[4]   waiting        LIST    ids of default priority
-- KEYS[5]   prioritized    ZSET    ids of other priorities
-- KEYS[6]   messages       HASH    id -> envelope
-- KEYS[7]   attempts       HASH    id -> counts and priority
-- KEYS[8]   wake           ZSET    marker that idle workers block on
-- KEYS[9]   stats          HASH    totals
-- KEYS[10]  dead_list      LIST    `waiting` of the dead-letter queue, or `parked` of this queue
-- KEYS[11]  dead_messages  HASH    its envelopes
-- KEYS[12]  dead_meta      HASH    its options
-- KEYS[13]  dead_wake      ZSET    its marker
-- KEYS[14]  delayed        ZSET    id -> due time in ms
-- KEYS[15]  releases       HASH    worker id -> number of its last release
-- KEYS[16]  failure        STRING  what has become of the running message
-- KEYS[17..] success       STRING  what has become of the messages whose results follow, in their order
-- ARGV[1]   worker id
-- ARGV[2]   supervisor id: act only if its beat counter is still ARGV[3]; '' for no condition
-- ARGV[3]   the counter that did not change; '' for a supervisor that is not registered
-- ARGV[4]   id of the message that it finished last, or ''
-- ARGV[5]   id of the message that it was running, or ''
-- ARGV[6]   what happened: 'crash' (blame the running message), 'failed' (it exceeded a limit), 'stopped' (blame
--           no message), 'silent' (what ran is unknown)
-- ARGV[7]   how many crashes quarantine a message
-- ARGV[8]   error record of the crash or of the failure, JSON
-- ARGV[9]   for 'failed': 'retry', 'dead-letter', 'discard' or 'cancel'
-- ARGV[10]  for a retry: its attempts after
-- ARGV[11]  for a retry: delay in ms
-- ARGV[12..] of each finished message that keeps its result, at most 100: id, how long in ms, the text of its result
-- returns   {1, requeued, acked, quarantined id or '', crash count of the running message or 0} |
--           {-1} not registered | {-2} the supervisor is alive
local workers, supervisors, processing, waiting, prioritized = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local messages, attempts, wake, stats = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local dead_list, dead_messages, dead_meta, dead_wake = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local worker, supervisor, counter, last_finished, running = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local what, crash_limit, record = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local delayed, releases, failure = KEYS[14], KEYS[15], KEYS[16]
local outcome, attempts_after, delay_ms = ARGV[9], ARGV[10], tonumber(ARGV[11])

if supervisor ~= '' and (redis.call('HGET', supervisors, supervisor) or '') ~= counter then return {-2} end
if redis.call('HEXISTS', workers, worker) == 0 then return {-1} end
check_types({messages, attempts, stats, releases, dead_messages}, {waiting, dead_list},
  {prioritized, delayed, wake, dead_wake})

local ids = redis.call('LRANGE', processing, 0, -1) -- newest first
allow_when_full(workers)
local unfinished, running_at = #ids, 0
for i = 1, #ids do
  -- Messages run in order: this one and all older ones are finished.
  if ids[i] == last_finished and last_finished ~= '' then unfinished = i - 1 end
  if ids[i] == running and running ~= '' then running_at = i end
end
-- The running message is newer than the last finished one. Otherwise that one was finished in an earlier claim, and its
-- id is stored again.
if running_at > unfinished then unfinished = #ids end

-- Newest first: what goes back or is settled, and which of it was finished, but has lost its result.
local left, has_lost_result = {}, {}
for i = 1, unfinished do left[i] = ids[i] end
local keys, successes, result_keys, texts = {}, {}, {}, {}
for i = 17, #KEYS do keys[i - 16] = KEYS[i] end
for i = 12, #ARGV, 3 do
  successes[ARGV[i]] = {key = keys[(i - 9) / 3], ttl_ms = ARGV[i + 1], text = ARGV[i + 2]}
end
for i = unfinished + 1, #ids do
  local id, keeps_result = ids[i], false
  if dead_messages ~= messages then keeps_result = result_ttl_ms(redis.call('HGET', messages, id)) > 0 end
  if keeps_result and not successes[id] then
    left[#left + 1], has_lost_result[id] = id, true
  else
    if keeps_result then
      local success = successes[id]
      store_result(success.key, success.ttl_ms, success.text)
      if keeps_history(success.key) then keep_history(success.key, success.ttl_ms, 'succeeded', {worker = worker}) end
      result_keys[#result_keys + 1], texts[#texts + 1] = success.key, success.text
    end
    redis.call('HDEL', messages, id)
    redis.call('HDEL', attempts, id)
    forget(messages, {id})
  end
end

-- Keeps the running message as a dead letter. Returns whether it has: without an envelope it is missing.
local function keep_dead(id, error_record)
  local is_moved = move_to_dead_letters(id, error_record, failure, messages, dead_list, dead_messages, dead_meta, dead_wake)
  redis.call('HDEL', attempts, id)
  count(stats, is_moved and 'dead_lettered' or 'missing', 1)
  return is_moved
end

-- Settles the message that exceeded a limit.
local function settle_failed(id, priority, retries)
  if outcome == 'retry' then
    -- Without another retry it was returned without blame: the worker does not know its task.
    local is_blamed = string.match(attempts_after, '^%d+') ~= string.format('%.0f', retries)
    local event, due_ms = is_blamed and 'retried' or 'requeued', delay_ms > 0 and due_after(delay_ms) or nil
    redis.call('HSET', attempts, id, attempts_after)
    note(workers, id, event, {worker = worker, due_ms = due_ms, why = string.match(attempts_after, '\t!(.*)$')})
    if due_ms then
      redis.call('ZADD', delayed, due_ms, id)
    else
      enqueue(waiting, prioritized, id, priority)
    end
    count(stats, event, 1)
    redis.call('ZADD', wake, 0, 'm')
  elseif outcome == 'dead-letter' then
    keep_dead(id, record)
  else
    store_failure(failure, redis.call('HGET', messages, id), 'discarded', record)
    redis.call('HDEL', messages, id)
    redis.call('HDEL', attempts, id)
    forget(messages, {id})
    count(stats, 'discarded', 1)
  end
end

-- Why a message goes back, for its history.
local function why_requeued(id)
  if id == running and running ~= '' and what == 'crash' then return why_of(record) end
  if has_lost_result[id] then return 'its result was lost' end
  if what == 'silent' then return 'its pool was silent' end
  return id == running and running ~= '' and 'its worker was stopped' or 'not started'
end

local cancelled = cancelled_among(workers, left)
local requeued, quarantined, crash_count = 0, '', 0
for _, id in ipairs(left) do
  local retries, crashes, requeues, priority, crash = attempts_of(attempts, id)
  local is_running = id == running and running ~= ''
  local ran = is_running or has_lost_result[id] or what == 'silent'
  if is_running and what == 'crash' then
    crashes = crashes + 1
    crash_count = crashes
  elseif ran then
    requeues = requeues + 1
  end
  if cancelled[id] or (is_running and what == 'failed' and outcome == 'cancel') then
    end_cancelled(workers, id, cancelled[id] or record)
  elseif is_running and what == 'failed' then
    settle_failed(id, priority, retries)
  elseif is_running and what == 'crash' and crashes >= crash_limit then
    local crash_record = record
    if dead_messages == messages then crash_record = with_handler_error(redis.call('HGET', messages, id), record) end
    if keep_dead(id, crash_record) then quarantined = id end
  else
    if ran then
      if what == 'crash' then crash = '\t' .. record end
      redis.call('HSET', attempts, id, attempts_text(retries, crashes, requeues, priority, crash))
    end
    enqueue(waiting, prioritized, id, priority, true)
    if keeps_history(workers) then note(workers, id, 'requeued', {worker = worker, why = why_requeued(id)}) end
    requeued = requeued + 1
  end
end

redis.call('DEL', processing)
redis.call('HDEL', workers, worker)
redis.call('HDEL', releases, worker)
if #ids > #left then count(stats, 'acked', #ids - #left) end
if requeued > 0 then
  count(stats, 'requeued', requeued)
  redis.call('ZADD', wake, 0, 'm')
end
announce(result_keys, texts)
return {1, requeued, #ids - #left, quarantined, crash_count}
