-- fire: publishes the messages of schedules that are due, and sets when each is due next.
--
-- The due time is the fence: of several janitors that have read the same one, the first fires. The ids of messages come
-- from it, so a copy that executes late changes nothing. As for publishers, a message is left out if another one has its
-- unique key, or if the queue is full; a queue that drops its oldest messages does so.
--
-- uses      numbers, totals, enqueue, guards, time, fires, held, extras, history, results, uniqueness, length
-- edge      new -> waiting | delayed (fire), waiting -> gone (drop), delayed -> gone (drop)
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
-- ARGV[1..] name, due time as read, next due time, what to do, id, envelope, delay in ms, priority, terms, ...  of each;
--           to do is `allow`, `skip` or `queue-one` if the last message is not finished, or `missed`, which only counts;
--           terms are '' or JSON: `unique`, the key, `until` when it has it or `for_ms`, `expires_ms` after publishing
-- returns   for each: 1 fired, 2 skipped, 3 waits for its last message, 4 another message has its unique key, 5 the queue
--           is full, 0 another janitor was first; or -1 no such queue
local meta, messages, attempts, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local wake, stats, due, fires = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local AGAIN_MS, NONE = 1000.5, {} -- the half marks a due time that was put off

local FIRED, SKIPPED, WAITS, DUPLICATE, FULL = 1, 2, 3, 4, 5
local retry = redis.call('HGET', meta, 'retry')
if not retry then return -1 end
if not count_of(retry) then retry = '0' end
local limit = count_of(redis.call('HGET', meta, 'max_length'))
local drops_oldest = limit and redis.call('HGET', meta, 'when_full') == 'drop-oldest'
local extras, unique, has_terms = beside(messages, 'extras'), beside(messages, 'unique'), false
for i = 1, #ARGV, 9 do has_terms = has_terms or ARGV[i + 8] ~= '' end
check_types({messages, attempts, stats, fires}, {waiting}, {prioritized, delayed, wake, due})
if has_terms or drops_oldest then check_types({extras, unique}, {}, {}) end

-- Why an occurrence is not published: DUPLICATE, FULL, or nil.
local function refusal_of(terms)
  local key = terms.unique
  if key and terms.for_ms and is_throttled(messages, key) and redis.call('HMGET', beside(messages, 'throttled'), key)[1] then
    return DUPLICATE
  end
  if key and not terms.for_ms then
    terms.owner = redis.call('HMGET', unique, key)[1]
    if meeting(messages, delayed, terms.owner, false) then return DUPLICATE end
  end
  if limit and not drops_oldest and length_of(waiting, prioritized, delayed) >= limit then return FULL end
end

-- Stores what a message has beside it.
local function store_terms(id, terms)
  local entry = {}
  if terms.unique and terms.for_ms then throttle(messages, {terms.unique, id}, terms.for_ms) end
  if terms.unique and not terms.for_ms then
    if terms.owner then give_up_key(messages, terms.owner) end -- it has expired
    redis.call('HSET', unique, terms.unique, id)
    entry[1] = '"unique":' .. cjson.encode(terms.unique)
    if terms['until'] == 'started' then entry[2] = '"until":"started"' end
  end
  if terms.expires_ms then
    entry[#entry + 1] = string.format('"expires_ms":%.0f', due_after(terms.expires_ms))
  end
  if #entry > 0 then redis.call('HSET', extras, id, '{' .. table.concat(entry, ',') .. '}') end
end

local outcomes, published, now = {}, 0, now_ms()
local function publish(id, envelope, delay_ms, priority, terms)
  if redis.call('HSETNX', messages, id, envelope) == 0 then return end
  if priority ~= '0' or retry ~= '0' then redis.call('HSET', attempts, id, retry .. ' 0 0 ' .. priority) end
  if has_terms then store_terms(id, terms) end
  if delay_ms > 0 then
    redis.call('ZADD', delayed, due_after(delay_ms), id)
  else
    enqueue(waiting, prioritized, id, priority)
  end
  published = published + 1
end

for i = 1, #ARGV, 9 do
  local name, due_at, next_due, action, id, envelope, delay, priority, stored_terms = unpack(ARGV, i, i + 8)
  local score = redis.call('ZSCORE', due, name)
  local outcome = 0
  if score and tonumber(score) == tonumber(due_at) then
    local state = fires_of(fires, name)
    local is_running = action ~= 'allow' and action ~= 'missed' and redis.call('HEXISTS', messages, state.id) == 1
    local terms = stored_terms ~= '' and decoded(stored_terms) or NONE
    if is_running and action == 'queue-one' then
      outcome, next_due = WAITS, now + AGAIN_MS
      if tonumber(due_at) % 1 == 0 then state.due = math.max(0, tonumber(due_at)) end
    elseif is_running or action == 'missed' then
      outcome = SKIPPED
    else
      outcome = refusal_of(terms) or FIRED
    end
    if outcome == DUPLICATE then count(stats, 'duplicates', 1) end
    if outcome == FIRED then
      publish(id, envelope, tonumber(delay), priority, terms)
      state.due, state.at, state.id, state.fired = math.max(0, tonumber(due_at)), now, id, state.fired + 1
    end
    if outcome ~= FIRED and outcome ~= WAITS then state.skipped = state.skipped + 1 end
    redis.call('ZADD', due, next_due, name)
    store_fires(fires, name, state)
  end
  outcomes[#outcomes + 1] = outcome
end
if published > 0 then
  count(stats, 'published', published)
  redis.call('ZADD', wake, 0, 'm')
end
if published > 0 and drops_oldest then
  local keys = {waiting = waiting, prioritized = prioritized, delayed = delayed, messages = messages,
    attempts = attempts, stats = stats}
  drop_oldest(keys, math.min(length_of(waiting, prioritized, delayed) - limit, published + MOST_OVERDUE))
end
return outcomes
