-- repair_leftovers: removes what is beside messages that have ended, and gives messages their entry or unique key back.
--
-- Looks again, in the same step: what belongs to a message stays. Nothing is removed that a publisher has just written.
--
-- uses      extras, leftovers, guards
-- KEYS[1]   messages       HASH  id -> envelope
-- KEYS[2]   dead_messages  HASH  envelopes of the dead letters
-- KEYS[3]   extras         HASH  id -> entry
-- KEYS[4]   unique         HASH  unique key -> id
-- KEYS[5]   stats          HASH  totals
-- KEYS[6..] hashes         HASH  id -> something else beside a message
-- ARGV[1]   how many ids follow
-- ARGV[2..] ids, then unique keys; at most 100 of both
-- returns   how many ids and keys were wrong
local keys = {messages = KEYS[1], dead_messages = KEYS[2], extras = KEYS[3], unique = KEYS[4]}
local stats, hashes, ids, repaired = KEYS[5], {}, tonumber(ARGV[1]), 0

for i = 6, #KEYS do hashes[#hashes + 1] = KEYS[i] end
check_types({keys.messages, keys.dead_messages, keys.extras, keys.unique}, {}, {})
check_types(hashes, {}, {})
allow_when_full(stats)
for i = 2, #ARGV do
  local one = ARGV[i]
  if i > ids + 1 then
    if is_stale_key(keys, one) then repaired = repaired + redis.call('HDEL', keys.unique, one) end
  else
    local damage, name = damage_of_id(keys, hashes, one)
    if damage == 'gone' then
      for _, hash in ipairs(hashes) do redis.call('HDEL', hash, one) end
      redis.call('HDEL', keys.extras, one)
    elseif damage == 'unlisted' then
      redis.call('HSETNX', keys.extras, one, '{}')
    elseif damage == 'keyless' then
      redis.call('HSET', keys.unique, name, one)
    end
    if damage then repaired = repaired + 1 end
  end
end
return repaired
