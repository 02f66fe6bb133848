-- admission: which of the messages that a claim has just taken may run. Needs numbers, attempts, extras, history,
-- results, dead_letters, totals, time, cancels, pauses.
--
-- A claim calls it only if something is beside a message of the queue (see extras). What the worker held before is
-- never looked at: it may be running.
local NOT_STARTED = '{"error_type":"MessageExpired","error":"the message was not started in time","traceback":""}'

-- Whether the entry of a message says that it must not be started any more. Most entries are not decoded.
local function has_expired(entry)
  if not entry or not string.find(entry, '"expires_ms":', 1, true) then return false end
  local expires_ms = tonumber(decoded(entry).expires_ms)
  return expires_ms ~= nil and expires_ms <= now_ms()
end

-- Whether expired messages become dead letters, as the queue's options say.
local function keeps_expired(messages)
  return redis.pcall('HGET', beside(messages, 'meta'), 'dead_letter_expired') == '1'
end

-- Types that the end of an expired message relies on. A claim checks them before its first write: what it has taken, it
-- would return the next time without a look at its expiry.
local function check_admission_types(messages)
  if string.find(messages, '}:dlq:', 1, true) or not keeps_expired(messages) then return end
  local dead = beside(messages, 'dlq:')
  check_types({dead .. 'messages', dead .. 'meta'}, {dead .. 'waiting'}, {dead .. 'wake'})
end

-- Ends a message that has expired: in the dead-letter queue, if the queue's options say so.
local function expire(keys, id, envelope)
  local messages, result = keys.messages, beside(keys.messages, 'result:') .. id
  if keeps_expired(messages) then
    local dead = beside(messages, 'dlq:')
    move_to_dead_letters(id, NOT_STARTED, result, messages, dead .. 'waiting', dead .. 'messages', dead .. 'meta',
      dead .. 'wake')
    count(keys.stats, 'dead_lettered', 1)
  else
    store_failure(result, envelope, 'expired', NOT_STARTED)
    redis.call('HDEL', messages, id)
    forget(messages, {id})
    count(keys.stats, 'expired', 1)
  end
  redis.call('HDEL', keys.attempts, id)
end

-- Whether a message, given its entry, frees its unique key when it is started.
local function is_free_once_started(entry)
  return entry and string.find(entry, '"until":"started"', 1, true) ~= nil
end

-- Removes from the worker's list what may not run. The taken ones are the first of `ids`, the newest. Returns what is
-- left of ids and envelopes, and how many taken ones are left. `keys` has the names of processing, messages, attempts and
-- stats.
local function admit(keys, ids, envelopes, taken)
  local is_dead = string.find(keys.messages, '}:dlq:', 1, true)
  local entries = redis.pcall('HMGET', beside(keys.messages, 'extras'), unpack(ids, 1, taken))
  if entries.err then return ids, envelopes, taken end
  local cancelled = cancelled_among(keys.messages, {unpack(ids, 1, taken)})
  local pauses, aside = not is_dead and pauses_of(keys.messages) or nil, {}
  local score = pauses and last_suspended(keys.messages)
  local kept_ids, kept_envelopes, started, started_entries = {}, {}, {}, {}
  for i = 1, #ids do
    if i <= taken and cancelled[ids[i]] then
      end_cancelled(keys.messages, ids[i], cancelled[ids[i]])
      redis.call('LREM', keys.processing, 1, ids[i])
    elseif i <= taken and not is_dead and has_expired(entries[i]) then
      expire(keys, ids[i], envelopes[i])
      redis.call('LREM', keys.processing, 1, ids[i])
    elseif i <= taken and score and is_paused(pauses, envelopes[i]) then
      table.insert(aside, 1, ids[i])
    else
      kept_ids[#kept_ids + 1], kept_envelopes[#kept_envelopes + 1] = ids[i], envelopes[i]
      if i <= taken and not is_dead and is_free_once_started(entries[i]) then
        started[#started + 1], started_entries[#started_entries + 1] = ids[i], entries[i]
      end
    end
  end
  free_keys(keys.messages, started, started_entries)
  if #aside > 0 then
    suspend(keys.messages, aside, score)
    for _, id in ipairs(aside) do redis.call('LREM', keys.processing, 1, id) end
  end
  return kept_ids, kept_envelopes, taken - #ids + #kept_ids
end

-- Notes in the histories of the first ids, the newest, that a worker has claimed them.
local function note_claimed(attempts, worker, ids, taken)
  for i = 1, taken do
    local retries, crashes, requeues = attempts_of(attempts, ids[i])
    note(attempts, ids[i], 'claimed', {worker = worker, delivery = 1 + retries + crashes + requeues})
  end
end

-- Notes in the histories of messages that are due that they wait now.
local function note_promoted(delayed, ids)
  local scores = redis.call('ZRANGEBYSCORE', delayed, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, #ids)
  for i = 1, #scores, 2 do note(delayed, scores[i], 'promoted', {due_ms = scores[i + 1]}) end
end
