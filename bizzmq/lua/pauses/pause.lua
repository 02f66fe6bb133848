-- pause: pauses a queue, or its messages of a task or with a key. A pause that holds already is replaced.
--
-- Workers take no message that is paused; what they run or have claimed, they finish.
--
-- uses      guards, time
-- KEYS[1]   meta    HASH  the queue's options
-- KEYS[2]   pauses  HASH  name of a pause -> who and why, JSON
-- ARGV[1]   name of the pause: 'queue', 'task:NAME' or 'key:KEY'; 'dlq:queue' for a dead-letter queue
-- ARGV[2]   who and why: a JSON object with at least one field
-- ARGV[3]   how long it holds in ms, 0 without an end
-- returns   1 done, -1 no such queue
local meta, pauses = KEYS[1], KEYS[2]
local name, about, duration_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('EXISTS', meta) == 0 then return -1 end
allow_when_full(pauses) -- this write checks the type, too
local times = string.format('"since_ms":%.0f,', now_ms())
if duration_ms > 0 then times = times .. string.format('"until_ms":%.0f,', due_after(duration_ms)) end
redis.call('HSET', pauses, name, '{' .. times .. string.sub(about, 2))
return 1
