-- finish: acks finished messages, and stores the results of those that keep one.
--
-- An id that the worker does not hold is neither acked nor gets a result: it was acked before, or it belongs to another
-- worker. So a repetition changes nothing. A message that keeps no result has a time of 0.
--
-- uses      totals, guards, time, extras, history, results
-- edge      processing -> gone (ack)
-- KEYS[1]   workers     HASH    worker id -> supervisor id
-- KEYS[2]   processing  LIST    ids that the worker holds
-- KEYS[3]   messages    HASH    id -> envelope
-- KEYS[4]   attempts    HASH    id -> counts and priority
-- KEYS[5]   stats       HASH    totals
-- KEYS[6..] result      STRING  what has become of each message, in the order of the ids
-- ARGV[1]   worker id
-- ARGV[2..] of each message, oldest first, at most 100: id, how long its result is kept in ms, the text of its result
-- returns   how many were acked, -1 not registered
local workers, processing, messages, attempts, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local worker = ARGV[1]
local HELD_LIMIT = 200

if redis.call('HEXISTS', workers, worker) == 0 then return -1 end
local held, is_held = redis.call('LRANGE', processing, -HELD_LIMIT, -1), {}
for _, id in ipairs(held) do is_held[id] = true end
check_types({messages, attempts, stats}, {}, {})
allow_when_full(workers)

local result_keys, keys, texts, acked = {}, {}, {}, {}
for i = 6, #KEYS do result_keys[i - 5] = KEYS[i] end
for i = 2, #ARGV, 3 do
  local id, ttl_ms = ARGV[i], ARGV[i + 1]
  if is_held[id] then
    if ttl_ms ~= '0' then
      local key, text = result_keys[(i + 1) / 3], ARGV[i + 2]
      store_result(key, ttl_ms, text)
      if keeps_history(key) then keep_history(key, ttl_ms, 'succeeded', {worker = worker}) end
      keys[#keys + 1], texts[#texts + 1] = key, text
    end
    acked[#acked + 1] = id
    is_held[id] = nil
  end
end
if #acked == 0 then return 0 end
redis.call('HDEL', messages, unpack(acked))
redis.call('HDEL', attempts, unpack(acked))
forget(messages, acked)
count(stats, 'acked', #acked)

-- Messages run in order, so these are the oldest ones, unless others are held behind them.
local in_order = true
for i = 1, #acked do in_order = in_order and held[#held + 1 - i] == acked[i] end
if in_order then
  redis.call('LTRIM', processing, 0, -#acked - 1)
else
  for _, id in ipairs(acked) do redis.call('LREM', processing, -1, id) end
end
announce(keys, texts)
return #acked
