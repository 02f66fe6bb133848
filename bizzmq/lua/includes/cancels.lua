-- cancels: ends messages as cancelled. Needs guards, totals, results, extras.
--
-- A request to cancel a message that a worker holds is in the hash `cancels`: id -> record, JSON. A transition that
-- would give such a message back, or keep it as a dead letter, ends it instead.

-- Those of some ids whose cancel is requested: id -> record. What Redis refuses to tell counts as not requested.
local function cancelled_among(key, ids)
  local cancels, found = beside(key, 'cancels'), {}
  if #ids == 0 or not has_beside(key) then return found end
  for first = 1, #ids, 1000 do -- Lua cannot unpack a forged list of many thousands at once
    local last = math.min(first + 999, #ids)
    local records = redis.pcall('HMGET', cancels, unpack(ids, first, last))
    for i = first, records.err and 0 or last do
      if records[i - first + 1] then found[ids[i]] = records[i - first + 1] end
    end
  end
  return found
end

-- Types that `end_cancelled` relies on. A script that may end a message checks them before its first write.
local function check_cancel_types(key)
  check_types({sibling(key, 'messages'), sibling(key, 'attempts'), sibling(key, 'stats')}, {}, {})
end

-- Ends messages as cancelled; the caller removes them from their places. Dead letters have their results already.
local function end_all_cancelled(key, ids, records)
  local messages, envelopes = sibling(key, 'messages'), nil
  if not string.find(messages, '}:dlq:', 1, true) then envelopes = redis.call('HMGET', messages, unpack(ids)) end
  for i = 1, envelopes and #ids or 0 do
    store_failure(sibling(key, 'result:') .. ids[i], envelopes[i], 'cancelled', records[i])
  end
  redis.call('HDEL', messages, unpack(ids))
  redis.call('HDEL', sibling(key, 'attempts'), unpack(ids))
  forget(messages, ids)
  count(sibling(key, 'stats'), 'cancelled', #ids)
end

local function end_cancelled(key, id, record)
  end_all_cancelled(key, {id}, {record})
end
