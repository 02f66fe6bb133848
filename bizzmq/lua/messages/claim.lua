-- claim: acks finished messages, promotes due ones, fills the worker's list and returns all of it.
--
-- Level-triggered: a lost reply, or a claim sent twice, changes nothing and strands nothing, because the next claim
-- returns the whole list again.
--
-- uses      numbers, attempts, totals, enqueue, guards, time, extras, history, results, dead_letters, cancels
-- uses      pauses, admission
-- edge      processing -> gone (ack), delayed -> waiting (promote), waiting -> processing (claim),
-- edge      waiting -> gone | dead-lettered (expire), waiting -> gone (cancel), waiting -> suspended (suspend)
-- KEYS[1]   workers      HASH  worker id -> supervisor id
-- KEYS[2]   processing   LIST  ids that the worker holds
-- KEYS[3]   waiting      LIST  ids of default priority
-- KEYS[4]   prioritized  ZSET  ids of other priorities
-- KEYS[5]   delayed      ZSET  id -> due time in ms
-- KEYS[6]   messages     HASH  id -> envelope
-- KEYS[7]   attempts     HASH  id -> counts and priority
-- KEYS[8]   wake         ZSET  marker that idle workers block on
-- KEYS[9]   stats        HASH  totals
-- ARGV[1]   worker id
-- ARGV[2]   how many messages it asks to hold, at most 100
-- ARGV[3..] ids that it has finished, oldest first, at most 100
-- returns   {-1} not registered | {0, ms until a delayed message is due, or -1} nothing to run |
--           {1, ids, envelopes, attempts} newest first; attempts is empty if no message has any
local workers, processing, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local messages, attempts, wake, stats = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local worker, want = ARGV[1], tonumber(ARGV[2])
local finished = #ARGV - 2
local HELD_LIMIT = 200

-- The registration is the fence: a reaped worker can neither settle nor claim.
if redis.call('HEXISTS', workers, worker) == 0 then return {-1} end
if finished == 0 and redis.call('EXISTS', processing, waiting, prioritized, delayed) == 0 then return {0, -1} end

-- Most queues have none of these: one command checks all.
local has_attempts, has_prioritized, has_delayed = false, false, false
if exists_or_beside(attempts, prioritized, delayed) then
  has_attempts = redis.call('EXISTS', attempts) == 1
  has_prioritized = redis.call('EXISTS', prioritized) == 1
  has_delayed = redis.call('EXISTS', delayed) == 1
end
-- Newest first, and kept equal to the list. No worker holds more than a hundred: a longer list is forged.
local held = redis.call('LRANGE', processing, -HELD_LIMIT, -1)
local ready = redis.call('LLEN', waiting) + (has_prioritized and redis.call('ZCARD', prioritized) or 0)
local due = has_delayed and redis.call('ZRANGEBYSCORE', delayed, '-inf', now_ms(), 'LIMIT', 0, 100) or {}
-- Wrong types are found before the first write. With acks, that write itself checks `messages`.
if finished > 0 then
  check_types(has_attempts and {stats, attempts} or {stats}, {}, {})
elseif #held + ready + #due > 0 then
  check_types(has_attempts and {stats, messages, attempts} or {stats, messages}, {}, {})
end
if ready + #due > 0 and has_beside(messages) then check_admission_types(messages) end
local acked = {}

if finished > 0 then
  local kept = #held - finished
  local in_order = kept >= 0
  for i = 1, finished do in_order = in_order and held[#held + 1 - i] == ARGV[2 + i] end
  if in_order then
    for i = 1, finished do acked[i] = ARGV[2 + i] end
  else
    local is_held = {}
    for i = 1, #held do is_held[held[i]] = true end
    for i = 3, #ARGV do
      if is_held[ARGV[i]] then acked[#acked + 1] = ARGV[i] end
      is_held[ARGV[i]] = nil
    end
  end
  if #acked > 0 then -- this frees memory, so Redis allows the rest at its memory limit
    redis.call('HDEL', messages, unpack(acked))
    if has_attempts then redis.call('HDEL', attempts, unpack(acked)) end
    count(stats, 'acked', #acked)
    forget(messages, acked)
  end
  if in_order then
    redis.call('LTRIM', processing, 0, -finished - 1)
    for i = #held, kept + 1, -1 do held[i] = nil end
  else
    for _, id in ipairs(acked) do redis.call('LREM', processing, -1, id) end
    held = redis.call('LRANGE', processing, -HELD_LIMIT, -1)
  end
end
if #acked == 0 then
  if finished > 0 then check_types({messages}, {}, {}) end -- nothing of it was held, so no write has checked it
  allow_when_full(workers)
end

for _, id in ipairs(due) do
  local _, _, _, priority = attempts_of(attempts, id)
  enqueue(waiting, prioritized, id, priority)
end
if #due > 0 then
  if keeps_history(workers) then note_promoted(delayed, due) end
  redis.call('ZREM', delayed, unpack(due))
  has_prioritized = redis.call('EXISTS', prioritized) == 1
  ready = ready + #due
end

-- No more than a fair share: the rest is for workers that ask next. What the worker holds counts as taken, so that a
-- claim sent twice gets no second share. A share is at least one message.
local room = 0
if ready > 0 then
  local share = want > 1 and math.ceil((#held + ready) / redis.call('HLEN', workers)) or 1
  room = math.min(want, share) - #held
end
local paused_until
if ready > 0 and has_beside(messages) then
  paused_until = (pauses_of(messages) or {}).queue
  if paused_until then room = 0 end
end

-- Adds ids that are now in the worker's list, the last one as the newest.
local function add_to_held(ids)
  local count, before = #ids, held
  held = {}
  for i = 1, count do held[i] = ids[count + 1 - i] end
  for i = 1, #before do held[count + i] = before[i] end
  room, ready = room - count, ready - count
end

local function take_prioritized(low, high)
  if not has_prioritized or room <= 0 then return end
  local ids = redis.call('ZRANGEBYSCORE', prioritized, low, high, 'LIMIT', 0, room)
  if #ids == 0 then return end
  redis.call('LPUSH', processing, unpack(ids))
  redis.call('ZREM', prioritized, unpack(ids))
  add_to_held(ids)
end

local function take_waiting()
  if room <= 0 then return end
  if room == 1 then
    local id = redis.call('RPOPLPUSH', waiting, processing)
    if id then add_to_held({id}) end
    return
  end
  local ids = redis.call('LRANGE', waiting, -room, -1)
  local count = #ids
  if count == 0 then return end
  for i = 1, math.floor(count / 2) do ids[i], ids[count + 1 - i] = ids[count + 1 - i], ids[i] end
  redis.call('LPUSH', processing, unpack(ids))
  redis.call('LTRIM', waiting, 0, -count - 1)
  add_to_held(ids)
end

local ids, envelopes, taken, refused
local looked_at = 0
repeat -- once, unless some that were taken may not run: then others take their places
  refused = 0
  local held_before = #held
  take_prioritized('-inf', '(0')
  take_waiting()
  take_prioritized('0', '+inf') -- a score of 0 is forged, and is claimed too

  ids, taken = held, #held - held_before -- the first of the ids
  envelopes = #ids > 0 and redis.call('HMGET', messages, unpack(ids)) or {}
  local missing = false
  for i = 1, #ids do missing = missing or not envelopes[i] end
  if missing then -- forged or evicted: count it, so that no later claim meets it
    local kept_ids, kept_envelopes, kept_taken = {}, {}, 0
    for i = 1, #ids do
      if envelopes[i] then
        kept_ids[#kept_ids + 1], kept_envelopes[#kept_envelopes + 1] = ids[i], envelopes[i]
      else
        redis.call('LREM', processing, -1, ids[i])
        redis.call('HDEL', attempts, ids[i])
        count(stats, 'missing', 1)
      end
      if i == taken then kept_taken = #kept_ids end
    end
    ids, envelopes, taken = kept_ids, kept_envelopes, kept_taken
  end
  if taken > 0 and has_beside(messages) then
    local keys = {processing = processing, messages = messages, attempts = attempts, stats = stats}
    looked_at = looked_at + taken
    ids, envelopes, taken = admit(keys, ids, envelopes, taken)
    refused = #held - #ids
    room, held = room + refused, ids
    if keeps_history(workers) then note_claimed(attempts, worker, ids, taken) end
  end
until refused == 0 or ready <= 0 or looked_at >= 100

local due_ms = -1
if has_delayed then
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  if #first > 0 then due_ms = math.min(math.max(0, first[2] - now_ms()), 3155760000000) end
end
if paused_until then ready, due_ms = 0, math.max(1, paused_until - now_ms()) end

-- Other workers must wake up for what is left now, or is due before idle workers look on their own. The marker affects
-- latency only: the claimed messages go to the worker even if it cannot be written.
if ready > 0 or (#ids > 0 and due_ms >= 0 and due_ms < 5000) then redis.pcall('ZADD', wake, 0, 'm') end
if #ids == 0 then return {0, due_ms} end
return {1, ids, envelopes, has_attempts and redis.call('HMGET', attempts, unpack(ids)) or {}}
