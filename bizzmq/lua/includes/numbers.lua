-- numbers: reads numbers from Redis.
--
-- What is in Redis is input: any client may have written it. So a script reads a number with these functions only. They
-- take an unreadable value as absent, so that no value can make a command fail.
local EXACT = 9007199254740992 -- 2^53: up to here whole numbers are exact

-- A count: digits without leading zeros, at most 16; nil for anything else.
local function count_of(text)
  if not text or #text > 16 or not (text == '0' or string.find(text, '^[1-9]%d*$')) then return nil end
  return math.min(tonumber(text), EXACT)
end
