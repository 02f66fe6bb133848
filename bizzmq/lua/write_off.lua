-- write_off: the operator accepts by how much a queue's books are off; from now on they count from there.
--
-- KEYS[1]  stats  HASH  totals
-- ARGV[1]  what was written off before, as the caller has seen it
-- ARGV[2]  what is to be written off in all
-- returns  1 done, 0 somebody else has written something off meanwhile
local stats, seen, total = KEYS[1], ARGV[1], ARGV[2]

if (redis.call('HGET', stats, 'written_off') or '0') ~= seen then return 0 end
allow_when_full(stats)
redis.call('HSET', stats, 'written_off', total)
redis.call('HSET', stats, 'missing_settled', redis.call('HGET', stats, 'missing') or '0')
redis.call('HSET', stats, 'restored_settled', redis.call('HGET', stats, 'restored') or '0')
return 1
