-- take_requests: takes requests to a pool. Each is taken once, and an expired one is only removed.
--
-- The pool's janitor takes them. What it does not pass on, because it dies here, is lost and never done twice.
--
-- uses       numbers, time
-- KEYS[1]    requests  HASH    id of a request -> when it expires in ms, supervisor id, what is asked
-- KEYS[2..]  answer    STRING  the answer to each request: empty from now on
-- ARGV[1]    supervisor id
-- ARGV[2]    how long in ms answers are kept
-- ARGV[3..]  ids of the requests, at most 64
-- returns    for each: in how many ms it expires, 0 for one that is not there any more; what is asked
local requests = KEYS[1]
local supervisor, answer_ttl_ms = ARGV[1], ARGV[2]

local now, answers, taken = now_ms(), {}, {}
for i = 2, #KEYS do answers[i - 1] = KEYS[i] end
for i = 3, #ARGV do
  local expires, owner, text = string.match(redis.call('HGET', requests, ARGV[i]) or '', '^(%d+) (%S+) (.*)$')
  local left_ms = math.max(0, (count_of(expires) or 0) - now)
  -- The first write frees memory, so Redis at its memory limit permits the rest.
  if owner ~= supervisor then left_ms = 0 else redis.call('HDEL', requests, ARGV[i]) end
  if left_ms > 0 then redis.call('SET', answers[i - 2], '', 'PX', answer_ttl_ms) end
  taken[#taken + 1], taken[#taken + 2] = left_ms, text or ''
end
return taken
