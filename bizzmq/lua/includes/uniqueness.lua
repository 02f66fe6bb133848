-- uniqueness: whether another message has a unique key already. Needs numbers, time, extras, held.
--
-- Whether any registered worker holds a message. If Redis refuses to say, it counts as held: then it is not touched.
local function is_held_by_any(messages, id)
  local workers = redis.pcall('HKEYS', beside(messages, 'workers'))
  if workers.err then return true end
  for _, worker in ipairs(workers) do
    if is_held(beside(messages, 'processing:') .. worker, id) then return true end
  end
  return false
end

-- What to do with a new message whose key the message `owner` has: nil if the key is free, else 'duplicate', 'delayed'
-- (replace it, it is delayed) or 'waiting' (replace it, it waits). A key is free if its message has ended, or can only
-- expire; and for a replacement if a worker holds it, because what runs cannot be changed.
local function meeting(messages, delayed, owner, replaces)
  if not owner or redis.call('HEXISTS', messages, owner) == 0 then return nil end
  local entry = redis.call('HGET', beside(messages, 'extras'), owner)
  local expires_ms = entry and tonumber(decoded(entry).expires_ms)
  local has_expired = expires_ms and expires_ms <= now_ms()
  if not replaces and not has_expired then return 'duplicate' end
  local is_delayed = redis.call('ZSCORE', delayed, owner)
  local is_running = not is_delayed and is_held_by_any(messages, owner)
  if has_expired then return is_running and not replaces and 'duplicate' or nil end
  return is_delayed and 'delayed' or (not is_running and 'waiting' or nil)
end

-- Says in the entry of a message that another one has its unique key now: it runs, or has expired. Without this, the
-- audit would find a message that has lost its key.
local function give_up_key(messages, id)
  local entry = redis.call('HGET', beside(messages, 'extras'), id)
  local terms = decoded(entry)
  if not terms.unique or terms.superseded or redis.call('HEXISTS', messages, id) == 0 then return end
  redis.call('HSET', beside(messages, 'extras'), id, string.sub(entry, 1, -2) .. ',"superseded":true}')
end

-- Whether the time of a throttled key is not over.
local function is_throttled(messages, name)
  local until_ms = tonumber(redis.call('ZSCORE', beside(messages, 'throttles'), name) or '0')
  return until_ms > now_ms()
end

-- Remembers that messages have throttled keys for this time, and forgets some keys whose time is over. Both keys expire
-- once the time of all is over. `owned` has keys and ids, alternating.
local function throttle(messages, owned, ttl_ms)
  local times, ids, now = beside(messages, 'throttles'), beside(messages, 'throttled'), now_ms()
  local scores = {}
  for i = 1, #owned, 2 do scores[i], scores[i + 1] = now + ttl_ms, owned[i] end
  redis.call('HSET', ids, unpack(owned))
  redis.call('ZADD', times, unpack(scores))
  local over = redis.call('ZRANGEBYSCORE', times, '-inf', now, 'LIMIT', 0, 10 + #owned)
  if #over > 0 then
    redis.call('HDEL', ids, unpack(over))
    redis.call('ZREM', times, unpack(over))
  end
  local left_ms = string.format('%.0f', redis.call('ZRANGE', times, -1, -1, 'WITHSCORES')[2] - now)
  redis.call('PEXPIRE', times, left_ms)
  redis.call('PEXPIRE', ids, left_ms)
end
