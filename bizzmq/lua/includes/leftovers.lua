-- leftovers: what is beside messages, and does not belong to one. Needs extras.
--
-- `keys` has the names of messages, dead_messages, extras and unique; `hashes` are those of the other hashes.

-- Whether the queue or its dead-letter queue has a message.
local function is_stored(keys, id)
  return redis.call('HEXISTS', keys.messages, id) == 1 or redis.call('HEXISTS', keys.dead_messages, id) == 1
end

-- Whether any of these hashes has a field.
local function is_in_any(hashes, field)
  for _, hash in ipairs(hashes) do
    if redis.call('HEXISTS', hash, field) == 1 then return true end
  end
  return false
end

-- The unique key that a message has by its entry, and whether it must have it: not if it has given it to another
-- message, or when it was started.
local function key_of(entry)
  local terms = decoded(entry)
  local name = type(terms.unique) == 'string' and terms.unique or nil
  return name, name ~= nil and terms['until'] ~= 'started' and not terms.superseded
end

-- What is wrong with an id: nil or false, 'gone', 'unlisted' (the message has something, and no entry), or 'keyless'
-- (its unique key is free). The second value is that key.
local function damage_of_id(keys, hashes, id)
  if id == 'history' then return nil end -- the mark of a queue that keeps histories
  local entry = redis.call('HGET', keys.extras, id)
  if not is_stored(keys, id) then return (entry or is_in_any(hashes, id)) and 'gone' end
  if not entry then return is_in_any(hashes, id) and 'unlisted' end
  local name, must_have = key_of(entry)
  if not must_have or redis.call('HEXISTS', keys.messages, id) == 0 then return nil end
  local owner = redis.call('HGET', keys.unique, name)
  return (not owner or redis.call('HEXISTS', keys.messages, owner) == 0) and 'keyless', name
end

-- Whether a unique key is of no message that waits or runs, or of one that has another key.
local function is_stale_key(keys, name)
  local owner = redis.call('HGET', keys.unique, name)
  if not owner then return false end
  return redis.call('HEXISTS', keys.messages, owner) == 0 or key_of(redis.call('HGET', keys.extras, owner)) ~= name
end
