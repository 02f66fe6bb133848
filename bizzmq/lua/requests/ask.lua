-- ask: keeps a request to a pool until the pool's janitor takes it, or until it expires.
--
-- A repetition changes nothing: one that is still there is replaced by itself, and one that was taken has an answer,
-- empty at first. Expired requests of other pools are removed.
--
-- uses     numbers, guards, time
-- KEYS[1]  requests     HASH    id of a request -> when it expires in ms, supervisor id, what is asked
-- KEYS[2]  supervisors  HASH    supervisor id -> beat counter
-- KEYS[3]  answer       STRING  the answer to this request
-- ARGV[1]  id of the request
-- ARGV[2]  supervisor id
-- ARGV[3]  after how many ms it expires
-- ARGV[4]  what is asked, JSON
-- returns  1 done, 0 no such supervisor, -1 too many requests are waiting
local requests, supervisors, answer = KEYS[1], KEYS[2], KEYS[3]
local id, supervisor, ttl_ms = ARGV[1], ARGV[2], ARGV[3]
local MOST = 64

if redis.call('HEXISTS', supervisors, supervisor) == 0 then return 0 end
local ids = redis.call('HKEYS', requests)
if redis.call('EXISTS', answer) == 1 then return 1 end
allow_when_full(requests)
local now, left, is_there = now_ms(), 0, false
for _, other in ipairs(ids) do
  local expires = string.match(redis.call('HGET', requests, other), '^(%d+) ')
  if (count_of(expires) or 0) <= now then
    redis.call('HDEL', requests, other)
  else
    left, is_there = left + 1, is_there or other == id
  end
end
if left >= MOST and not is_there then return -1 end
redis.call('HSET', requests, id, string.format('%.0f ', now + ttl_ms) .. supervisor .. ' ' .. ARGV[4])
redis.call('PEXPIRE', requests, ttl_ms)
return 1
