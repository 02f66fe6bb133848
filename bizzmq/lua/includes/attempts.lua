-- attempts: reads and writes the counts of a message. Needs numbers.
--
-- They are "retries crashes requeues priority" and, after a tab, the record of the last crash if there was one. A
-- message without an entry, or with an unreadable one, has "0 0 0 0". The priority is returned as text, the record
-- with its tab.
local function counts_of(entry)
  local retries, crashes, requeues, sign, priority, crash = string.match(entry or '', '^(%d+) (%d+) (%d+) (-?)(%d+)(.*)$')
  retries, crashes, requeues = count_of(retries), count_of(crashes), count_of(requeues)
  local is_readable = retries and crashes and requeues and count_of(priority) and sign .. priority ~= '-0'
    and (crash == '' or string.find(crash, '^\t[^\n]+$'))
  if not is_readable then return 0, 0, 0, '0', '' end
  return retries, crashes, requeues, sign .. priority, crash
end

local function attempts_of(attempts, id)
  return counts_of(redis.call('HGET', attempts, id))
end

local function attempts_text(retries, crashes, requeues, priority, crash)
  local counts = {math.min(retries, EXACT), math.min(crashes, EXACT), math.min(requeues, EXACT)}
  return string.format('%.0f %.0f %.0f ', unpack(counts)) .. priority .. crash
end
