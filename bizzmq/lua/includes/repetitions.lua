-- repetitions: a caller's last reply, so that a repetition after a lost reply returns the same. Needs extras.
--
-- A caller has a nonce, '' for none. Its last reply is in the key `reply:NONCE` for two minutes: the SHA1 of the request,
-- a space, the reply as text. That is no declared key: a user without the right to it only gets another reply to a
-- repetition.

-- The reply to the caller's last request if this one is that request, else nil or false.
local function repeated_reply(key, nonce, request)
  local kept = nonce ~= '' and redis.pcall('GET', beside(key, 'reply:') .. nonce)
  if type(kept) ~= 'string' then return nil end
  local digest, reply = string.match(kept, '^(%x+) (.*)$')
  return digest == redis.sha1hex(request) and reply
end

-- The caller has written something that frees memory.
local function keep_reply(key, nonce, request, reply)
  if nonce == '' then return end
  redis.pcall('SET', beside(key, 'reply:') .. nonce, redis.sha1hex(request) .. ' ' .. reply, 'EX', 120)
end
