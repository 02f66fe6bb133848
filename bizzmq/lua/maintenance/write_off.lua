-- write_off: records that the operator accepts a queue's difference. The accounts start from there.
--
-- uses     guards
-- KEYS[1]  stats  HASH  totals
-- ARGV[1]  what was written off before, as the caller has read it
-- ARGV[2]  the new total
-- returns  1 done, 0 another client has written something off since
local stats, before, total = KEYS[1], ARGV[1], ARGV[2]

if (redis.call('HGET', stats, 'written_off') or '0') ~= before then return 0 end
allow_when_full(stats)
redis.call('HSET', stats, 'written_off', total)
redis.call('HSET', stats, 'missing_settled', redis.call('HGET', stats, 'missing') or '0')
redis.call('HSET', stats, 'restored_settled', redis.call('HGET', stats, 'restored') or '0')
return 1
