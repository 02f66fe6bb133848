-- length: keeps a queue at its limited length. Needs results, extras, totals.
--
-- A limit that was lowered is reached step by step: each publish drops as many messages as it adds, and some more.
local MOST_OVERDUE = 100

-- What waits and what is delayed counts. What workers hold does not.
local function length_of(waiting, prioritized, delayed)
  return redis.call('LLEN', waiting) + redis.call('ZCARD', prioritized) + redis.call('ZCARD', delayed)
end

local DROPPED = '{"error_type":"QueueFullError","error":"the queue was full, and newer messages came","traceback":""}'

-- Up to `most` ids of the lowest priority in the set, oldest first; none if that priority is above `highest`.
local function lowest(prioritized, highest, most)
  local last = redis.call('ZRANGE', prioritized, -1, -1, 'WITHSCORES')
  if #last == 0 or last[2] + 0 < -highest then return {} end
  local low = math.floor(last[2])
  local from, to = string.format('%.17g', low), string.format('(%.17g', low + 1)
  local ids = redis.call('ZRANGEBYSCORE', prioritized, from, to, 'LIMIT', 0, most)
  return #ids > 0 and ids or {last[1]}
end

-- Removes up to `most` of the messages to drop next from where they are: low priorities first, the oldest of each; then
-- what is delayed, what is due first.
local function take_oldest(waiting, prioritized, delayed, most)
  local ids = lowest(prioritized, -1, most)
  if #ids == 0 then
    ids = redis.call('LRANGE', waiting, -most, -1)
    if #ids > 0 then
      redis.call('LTRIM', waiting, 0, -#ids - 1)
      local oldest_first = {}
      for i = 1, #ids do oldest_first[i] = ids[#ids + 1 - i] end
      return oldest_first
    end
    ids = lowest(prioritized, math.huge, most)
  end
  if #ids > 0 then
    redis.call('ZREM', prioritized, unpack(ids))
    return ids
  end
  ids = redis.call('ZRANGE', delayed, 0, most - 1)
  if #ids > 0 then redis.call('ZREM', delayed, unpack(ids)) end
  return ids
end

-- Ends the oldest messages. Returns how many.
local function drop_oldest(keys, excess)
  local dropped = 0
  while dropped < excess do
    local ids = take_oldest(keys.waiting, keys.prioritized, keys.delayed, math.min(excess - dropped, 100))
    if #ids == 0 then break end
    local envelopes = redis.call('HMGET', keys.messages, unpack(ids))
    for i = 1, #ids do
      if envelopes[i] then store_failure(beside(keys.messages, 'result:') .. ids[i], envelopes[i], 'discarded', DROPPED) end
    end
    local removed = redis.call('HDEL', keys.messages, unpack(ids))
    redis.call('HDEL', keys.attempts, unpack(ids))
    forget(keys.messages, ids)
    if removed > 0 then count(keys.stats, 'dropped', removed) end
    if removed < #ids then count(keys.stats, 'missing', #ids - removed) end
    dropped = dropped + #ids
  end
  return dropped
end
