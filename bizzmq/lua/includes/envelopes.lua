-- envelopes: reads the parts of stored envelopes.
--
-- The header line of an envelope, newline included. One that is longer than any that BizzMQ writes is cut.
local LONGEST = 262144

local function header_line(envelope)
  local newline = string.find(envelope, '\n', 1, true) or LONGEST
  return string.sub(envelope, 1, math.min(newline, LONGEST))
end
