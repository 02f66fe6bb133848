-- due_schedules: returns the schedules that are due, with what is needed to fire them. Changes nothing.
--
-- uses      time
-- KEYS[1]   due        ZSET  schedule -> when it fires next, in ms
-- KEYS[2]   schedules  HASH  schedule -> definition
-- KEYS[3]   fires      HASH  schedule -> last fire, counts, pause
-- ARGV[1]   how many to leave out: those that the caller cannot fire
-- ARGV[2]   how many to return, at most 100; fewer if their definitions have more than 4 MiB
-- returns   {the time, when the first of the others is due or '', name, due time, definition or '', state or '', ...}
local due, schedules, fires = KEYS[1], KEYS[2], KEYS[3]
local LIMIT_BYTES = 4194304

local now = string.format('%.0f', now_ms())
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'WITHSCORES', 'LIMIT', ARGV[1], ARGV[2])
local later = redis.call('ZRANGEBYSCORE', due, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply, bytes = {now, later[2] or ''}, 0
for i = 1, #found, 2 do
  local definition = redis.call('HGET', schedules, found[i]) or ''
  bytes = bytes + string.len(definition)
  if i > 1 and bytes > LIMIT_BYTES then
    reply[2] = now
    break
  end
  local state = redis.call('HGET', fires, found[i]) or ''
  for _, part in ipairs({found[i], found[i + 1], definition, state}) do reply[#reply + 1] = part end
end
return reply
