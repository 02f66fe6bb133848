-- fields: some of a hash's field names, without the values, which may be large.
--
-- Changes nothing. A name that is there from the first call to the last one is in some reply, maybe in two.
--
-- KEYS[1]  hash  HASH  any
-- ARGV[1]  cursor: 0, then what the last call has returned
-- ARGV[2]  about how many
-- returns  {the next cursor, or 0 at the end; names}
local hash, cursor, count = KEYS[1], ARGV[1], ARGV[2]

local page = redis.pcall('HSCAN', hash, cursor, 'COUNT', count, 'NOVALUES') -- Redis 7.4, Valkey 8
if not page.err then return page end
page = redis.call('HSCAN', hash, cursor, 'COUNT', count)
local names = {}
for i = 1, #page[2], 2 do names[#names + 1] = page[2][i] end
return {page[1], names}
