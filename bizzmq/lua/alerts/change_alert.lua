-- change_alert: changes the note about an alert of a queue, if the note is still the one that the caller has read.
--
-- So one of two watchers sends the alert. What notes mean is in bizzmq/alerts/note.py. Messages do not depend on them.
--
-- uses      guards
-- KEYS[1]   meta    HASH  the queue's options
-- KEYS[2]   alerts  HASH  kind of an alert -> note
-- ARGV[1]   kind of the alert
-- ARGV[2]   the note that the caller has read; '' for none
-- ARGV[3]   the new note; '' for none
-- returns   1 done | 0 another watcher has changed it | -1 no such queue
local meta, alerts, kind, before, after = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', meta) == 0 then return -1 end
allow_when_full(alerts) -- this write checks the type, too
local now = redis.call('HGET', alerts, kind) or ''
if now == after then return 1 end -- the call was sent twice
if now ~= before then return 0 end
if after == '' then redis.call('HDEL', alerts, kind) else redis.call('HSET', alerts, kind, after) end
return 1
