-- find_leftovers: tells what is beside messages that have ended, and which messages lack their entry or unique key.
--
-- Changes nothing.
--
-- uses      extras, leftovers
-- KEYS[1]   messages       HASH  id -> envelope
-- KEYS[2]   dead_messages  HASH  envelopes of the dead letters
-- KEYS[3]   extras         HASH  id -> entry
-- KEYS[4]   unique         HASH  unique key -> id
-- KEYS[5..] hashes         HASH  id -> something else beside a message
-- ARGV[1]   how many ids follow
-- ARGV[2..] ids, then unique keys; at most 100 of both
-- returns   for each id 'gone', 'unlisted', 'keyless' or '', and for each key 'stale' or ''
local keys = {messages = KEYS[1], dead_messages = KEYS[2], extras = KEYS[3], unique = KEYS[4]}
local hashes, found, ids = {}, {}, tonumber(ARGV[1])

for i = 5, #KEYS do hashes[#hashes + 1] = KEYS[i] end
for i = 2, #ARGV do
  if i <= ids + 1 then
    found[#found + 1] = damage_of_id(keys, hashes, ARGV[i]) or ''
  else
    found[#found + 1] = is_stale_key(keys, ARGV[i]) and 'stale' or ''
  end
end
return found
