-- extras: what some messages have beside them: a unique key, a checkpoint, progress, ...
--
-- A message that has something beside it has an entry in the hash `extras`: JSON, at least {}. So one look at that key
-- tells that no message of a queue has any. A queue and its dead-letter queue share the hash, and the hashes beside it.
-- These keys are not among the declared ones, since the permissions of Redis 6 are checked for each declared key: users
-- from before these hashes go on as they did. They are in the slot of the declared keys.
local BESIDE = {'checkpoints', 'progress', 'history', 'cancels', 'output', 'profiles'}

-- A key of the queue that has this key, also if that is a key of its dead-letter queue.
local function beside(key, name)
  return string.match(key, '^bizzmq:{[^}]*}:') .. name
end

-- A key of the same queue, or of the same dead-letter queue.
local function sibling(key, name)
  return (string.match(key, '^bizzmq:{[^}]*}:dlq:') or string.match(key, '^bizzmq:{[^}]*}:')) .. name
end

-- A key of what is kept as long as the result of a message, whose key is given.
local function beside_result(key, name)
  return key .. ':' .. name
end

-- Whether a message of the queue may have something beside it, or a part of the queue is paused: one look a script.
local is_any_beside
local function has_beside(key)
  if is_any_beside == nil then
    local found = redis.pcall('EXISTS', beside(key, 'extras'), beside(key, 'pauses'))
    is_any_beside = type(found) == 'number' and found > 0
  end
  return is_any_beside
end

-- Whether any of these keys exists, or anything is beside messages: one command where there is none. Users from before
-- `extras` may not ask for it: for them nothing is beside messages.
local function exists_or_beside(attempts, prioritized, delayed)
  local extras, pauses = beside(attempts, 'extras'), beside(attempts, 'pauses')
  local found = redis.pcall('EXISTS', attempts, prioritized, delayed, extras, pauses)
  if type(found) ~= 'number' then found, is_any_beside = redis.call('EXISTS', attempts, prioritized, delayed), false end
  if found == 0 then is_any_beside = false end
  return found > 0
end

-- The entry of a message as a table; an empty one if there is none, or it is no JSON.
local function decoded(entry)
  local is_read, found = pcall(cjson.decode, entry or '{}')
  return is_read and type(found) == 'table' and found or {}
end

-- The unique key in an entry, if there is one. Most entries are not decoded.
local function unique_key_of(entry)
  local name = string.match(entry, '^{"unique":"([^"\\%c]*)"[,}]')
  return name or string.find(entry, '"unique":', 1, true) and decoded(entry).unique
end

-- Frees the unique keys of messages, given their entries: those that no other message has by now.
local function free_keys(key, ids, entries)
  local names, owners = {}, {}
  for i = 1, #ids do
    local name = entries[i] and unique_key_of(entries[i])
    if type(name) == 'string' then names[#names + 1], owners[#owners + 1] = name, ids[i] end
  end
  if #names == 0 then return end
  local unique = beside(key, 'unique')
  local found, own = redis.pcall('HMGET', unique, unpack(names)), {}
  for i = 1, #names do
    if found[i] == owners[i] then own[#own + 1] = names[i] end
  end
  if #own > 0 then redis.pcall('HDEL', unique, unpack(own)) end
end

-- The entries of messages, false for those without one; nil if there are none, or Redis refuses to read them.
local function entries_of(key, ids)
  if #ids == 0 or not has_beside(key) then return nil end
  local entries = redis.pcall('HMGET', beside(key, 'extras'), unpack(ids))
  return not entries.err and entries or nil
end

-- Removes what ended messages have beside them. A refusal by Redis stops nothing, because the messages have ended:
-- what is left uses memory, and counts for nothing.
local function forget(key, ids)
  local entries, known = entries_of(key, ids), {}
  if not entries then return end
  for i = 1, #ids do
    if entries[i] then known[#known + 1] = ids[i] end
  end
  if #known == 0 then return end
  free_keys(key, ids, entries)
  for _, name in ipairs(BESIDE) do redis.pcall('HDEL', beside(key, name), unpack(known)) end
  redis.pcall('HDEL', beside(key, 'extras'), unpack(known))
end
