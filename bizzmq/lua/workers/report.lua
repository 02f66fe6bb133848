-- report: notes what a supervisor's pool does now and, once in ten seconds, the totals of the queue.
--
-- Only people read it. Redis users that were created for an earlier version may not write its two keys, so a refusal
-- changes nothing else, and these keys are not declared: Redis 6 checks the permission for each declared key. They are
-- `pool:SUPERVISOR`, a STRING of the time in ms, a space, and what the pool does; and `rates`, a HASH of places in a ring
-- of 96 -> the time in ms, and the totals at that time. Both expire.
--
-- uses     numbers, guards, time
-- KEYS[1]  supervisors  HASH  supervisor id -> beat counter
-- KEYS[2]  stats        HASH  totals
-- ARGV[1]  supervisor id
-- ARGV[2]  what its pool does, JSON
-- ARGV[3]  after how many ms this report expires
-- returns  1 done, 0 not registered
local supervisors, stats = KEYS[1], KEYS[2]
local base = string.gsub(supervisors, 'supervisors$', '')
local pool, rates = base .. 'pool:' .. ARGV[1], base .. 'rates'
local PERIOD_MS, PERIODS, LIFE_MS = 10000, 96, 1200000
local NAMES = {'published', 'replayed', 'acked', 'discarded', 'dead_lettered', 'retried', 'cancelled', 'expired',
  'dropped'}

if redis.call('HEXISTS', supervisors, ARGV[1]) == 0 then return 0 end
allow_when_full(supervisors)
local now = now_ms()
redis.pcall('SET', pool, string.format('%.0f ', now) .. ARGV[2], 'PX', ARGV[3])

-- The first report of a period notes the totals, whichever pool sends it.
local period = math.floor(now / PERIOD_MS)
local place = period % PERIODS
local last = redis.pcall('HGET', rates, place)
local last_ms = type(last) == 'string' and count_of(string.match(last, '^(%d+) ')) or 0
if math.floor(last_ms / PERIOD_MS) ~= period then
  local fields = {}
  for i, name in ipairs(NAMES) do fields[i], fields[#NAMES + i] = name, name .. ':spare' end
  local totals = redis.pcall('HMGET', stats, unpack(fields))
  if totals.err then return 1 end
  local sample = string.format('%.0f', now)
  for i = 1, #NAMES do
    local total = (count_of(totals[i]) or 0) + (count_of(totals[#NAMES + i]) or 0)
    sample = sample .. string.format(' %.0f', total)
  end
  redis.pcall('HSET', rates, place, sample)
  redis.pcall('PEXPIRE', rates, LIFE_MS)
end
return 1
