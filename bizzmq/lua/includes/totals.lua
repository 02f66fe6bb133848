-- totals: counts in the hash of totals.
--
-- A counter that is not a number, or has no room left, stays as it is for the operator to see, and its spare counter
-- goes on: a broken total stops no transition.
local function count(totals, name, by)
  local reply = redis.pcall('HINCRBY', totals, name, by)
  if type(reply) == 'number' then return end
  local is_spoilt = string.find(reply.err, 'not an integer', 1, true) or string.find(reply.err, 'overflow', 1, true)
  if not is_spoilt then redis.call('HINCRBY', totals, name, by) end -- it raises what is wrong
  redis.pcall('HINCRBY', totals, name .. ':spare', by)
end
