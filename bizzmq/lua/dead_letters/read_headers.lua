-- read_headers: returns the headers of some messages without their bodies, which may be large.
--
-- Changes nothing. A header that is longer than any that BizzMQ writes is cut.
--
-- uses      envelopes
-- KEYS[1]   messages  HASH  id -> envelope
-- ARGV[1..] ids, at most 100
-- returns   the header line of each id, newline included; false for an id without an envelope
local messages = KEYS[1]

local headers = {}
for i = 1, #ARGV do
  local envelope = redis.call('HGET', messages, ARGV[i])
  headers[i] = envelope and header_line(envelope)
end
return headers
