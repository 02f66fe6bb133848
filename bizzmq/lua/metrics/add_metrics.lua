-- add_metrics: adds what a pool has measured since its last report, and a sample of the queue, to the queue's history.
--
-- Reports have numbers: one that is sent again, also by another process of the pool, is added once. A queue that nobody
-- works on costs one sample in ten seconds, whichever pool sends it. The rest of the history is made from these reports
-- by roll_up_metrics. Only people read it.
--
-- uses     numbers, guards, time
-- KEYS[1]  meta           HASH  the queue's options
-- KEYS[2]  metrics        HASH  the history: see bizzmq/metrics/history.py
-- KEYS[3]  stats          HASH  totals
-- KEYS[4]  waiting        LIST  ids of default priority
-- KEYS[5]  prioritized    ZSET  ids of other priorities
-- KEYS[6]  delayed        ZSET  id -> due time in ms
-- KEYS[7]  messages       HASH  id -> envelope
-- KEYS[8]  parked         LIST  ids that were parked
-- KEYS[9]  dead_messages  HASH  envelopes of the dead-letter queue
-- KEYS[10] suspended      ZSET  ids that were put aside
-- ARGV[1]  supervisor id
-- ARGV[2]  number of its report
-- ARGV[3]  what it has measured, or '' for nothing
-- ARGV[4]  in its first report: what the pool runs, JSON; else ''
-- ARGV[5]  what the pool uses, which replaces what was noted before; '' for nothing
-- ARGV[6]  the same of its slots
-- returns  {} no such queue | {time in ms, waiting, delayed, stored, parked, dead letters, ms that the oldest has waited,
--          suspended}
local meta, metrics, stats, waiting, prioritized, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local messages, parked, dead_messages, suspended = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local supervisor, number, measured, start, usage, slots = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local PERIOD_MS, LIFE_MS, RECENT_BYTES, AGES_BYTES = 10000, 2678400000, 9000, 400
local NAMES = {'published', 'replayed', 'acked', 'discarded', 'dead_lettered', 'retried', 'cancelled', 'expired',
  'dropped'}

if redis.call('EXISTS', meta) == 0 then return {} end
check_types({stats}, {}, {}) -- reads check the other types before the first write
local now = now_ms()

-- How long ago the message with this id was published, in ms.
local function age_of(id)
  local micros = id and tonumber(string.match(id, '^%x%x%x%x%x%x%x%x%x%x%x%x%x') or '', 16)
  return micros and math.max(0, math.floor(now - micros / 1000)) or 0
end

-- Note the highest age of the oldest message in each of the last minutes.
local function note_age(oldest)
  local minute = string.format('%.0f', math.floor(now / 60000))
  local ages = redis.call('HGET', metrics, 'ages') or ''
  local before, age = string.match(ages, '^(.-)' .. minute .. ' (%d+)\n$')
  ages = (before or ages) .. minute .. string.format(' %.0f\n', math.max(oldest, count_of(age) or 0))
  if #ages > AGES_BYTES then ages = string.sub(ages, (string.find(ages, '\n', #ages - AGES_BYTES, true) or 0) + 1) end
  redis.call('HSET', metrics, 'ages', ages)
end

local oldest = age_of(redis.call('LRANGE', waiting, -1, -1)[1])
oldest = math.max(oldest, age_of(redis.call('ZRANGE', prioritized, 0, 0)[1]))
oldest = math.max(oldest, age_of(redis.call('ZRANGE', prioritized, -1, -1)[1]))
local counts = {redis.call('LLEN', waiting) + redis.call('ZCARD', prioritized), redis.call('ZCARD', delayed),
  redis.call('HLEN', messages), redis.call('LLEN', parked), redis.call('HLEN', dead_messages), oldest}
local reply = {now}
for i = 1, #counts do reply[1 + i] = counts[i] end
reply[#reply + 1] = redis.call('ZCARD', suspended)

local period = string.format('%.0f', math.floor(now / PERIOD_MS))
local is_sampled = redis.call('HGET', metrics, 'sampled') == period
local last = count_of(string.match(redis.call('HGET', metrics, 'p:' .. supervisor) or '', '^%d+'))
local is_known = last and last >= tonumber(number)
if usage ~= '' then
  allow_when_full(metrics)
  redis.call('HSET', metrics, 'u:' .. supervisor, usage, 'w:' .. supervisor, slots)
  redis.call('PEXPIRE', metrics, LIFE_MS)
end
if start .. measured == '' and is_sampled then return reply end
if is_known then return reply end

allow_when_full(metrics)
local fields = {}
for i, name in ipairs(NAMES) do fields[i], fields[#NAMES + i] = name, name .. ':spare' end
local totals = redis.call('HMGET', stats, unpack(fields))
local sample = string.format('%.0f', now)
for i = 1, #NAMES do
  sample = sample .. string.format(' %.0f', (count_of(totals[i]) or 0) + (count_of(totals[#NAMES + i]) or 0))
end
if not is_sampled then
  note_age(oldest)
  local recent = (redis.call('HGET', metrics, 'recent') or '') .. sample .. '\n'
  if #recent > RECENT_BYTES then
    recent = string.sub(recent, (string.find(recent, '\n', #recent - RECENT_BYTES, true) or 0) + 1)
  end
  redis.call('HSET', metrics, 'recent', recent)
end
for i = 1, #counts do sample = sample .. string.format(' %.0f', counts[i]) end
redis.call('HSET', metrics, 'r:' .. supervisor .. ':' .. number, sample .. '\n' .. measured, 'sampled', period,
  'p:' .. supervisor, number .. string.format(' %.0f', now))
if start ~= '' then redis.call('HSET', metrics, 'd:' .. supervisor, string.format('%.0f ', now) .. start) end
redis.call('PEXPIRE', metrics, LIFE_MS)
return reply
