-- fire: publishes the messages of schedules that are due, and sets when each is due next.
--
-- The due time is the fence: of several janitors that have read the same one, the first fires. The ids of messages come
-- from it, so a copy that executes late changes nothing.
--
-- uses      numbers, totals, enqueue, guards, time, fires
-- edge      new -> waiting | delayed
-- KEYS[1]   meta         HASH    options; the queue exists if there is a field `retry`
-- KEYS[2]   messages     HASH    id -> envelope
-- KEYS[3]   attempts     HASH    id -> counts and priority
-- KEYS[4]   waiting      LIST    ids of default priority
-- KEYS[5]   prioritized  ZSET    ids of other priorities
-- KEYS[6]   delayed      ZSET    id -> due time in ms
-- KEYS[7]   wake         ZSET    marker that idle workers block on
-- KEYS[8]   stats        HASH    totals
-- KEYS[9]   due          ZSET    schedule -> when it fires next, in ms
-- KEYS[10]  fires        HASH    schedule -> last fire, counts, pause
-- ARGV[1..] name, due time as read, next due time, what to do, id, envelope, delay in ms, priority, ...  of each; to do
--           is `allow`, `skip` or `queue-one` if the last message is not finished, or `missed`, which only counts
-- returns   for each: 1 fired, 2 skipped, 3 waits for its last message, 0 another janitor was first;
--           or -1 no such queue
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, due, fires = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local AGAIN_MS = 1000

local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
if not count_of(retry) then retry = '0' end
check_types({messages, attempts, stats, fires}, {waiting}, {prioritized, delayed, wake, due})

local outcomes, published = {}, 0
local function publish(id, envelope, delay_ms, priority)
  if redis.call('HSETNX', messages, id, envelope) == 0 then return end
  if priority ~= '0' or retry ~= '0' then redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
  if delay_ms > 0 then
    redis.call('ZADD', delayed, due_after(delay_ms), id)
  else
    enqueue(waiting, prioritized, id, priority)
  end
  published = published + 1
end

for i = 1, #ARGV, 8 do
  local name, due_at, next_due, action, id, envelope, delay, priority = unpack(ARGV, i, i + 7)
  local score = redis.call('ZSCORE', due, name)
  local outcome = 0
  if score and tonumber(score) == tonumber(due_at) then
    local state = fires_of(fires, name)
    local is_running = action ~= 'allow' and action ~= 'missed' and redis.call('HEXISTS', messages, state.id) == 1
    if is_running and action == 'queue-one' then
      outcome, next_due = 3, now_ms() + AGAIN_MS
    elseif is_running or action == 'missed' then
      outcome, state.skipped = 2, state.skipped + 1
    else
      publish(id, envelope, tonumber(delay), priority)
      outcome = 1
      state.due, state.at, state.id, state.fired = math.max(0, tonumber(due_at)), now_ms(), id, state.fired + 1
    end
    redis.call('ZADD', due, next_due, name)
    if outcome < 3 then store_fires(fires, name, state) end
  end
  outcomes[#outcomes + 1] = outcome
end
if published > 0 then
  count(stats, 'published', published)
  redis.call('ZADD', wake, 0, 'm')
end
return outcomes
