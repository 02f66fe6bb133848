-- scan_fields: returns some field names of a hash without their values, which may be large.
--
-- Changes nothing. A name that exists from the first call to the last is in at least one reply, perhaps in two.
--
-- KEYS[1]  hash  HASH  any
-- ARGV[1]  cursor: 0, then the cursor that the last call returned
-- ARGV[2]  about how many names
-- returns  {next cursor, 0 at the end; names}
local hash, cursor, count = KEYS[1], ARGV[1], ARGV[2]

local page = redis.pcall('HSCAN', hash, cursor, 'COUNT', count, 'NOVALUES') -- Redis 7.4, Valkey 8
if not page.err then return page end
page = redis.call('HSCAN', hash, cursor, 'COUNT', count)
local names = {}
for i = 1, #page[2], 2 do names[#names + 1] = page[2][i] end
return {page[1], names}
