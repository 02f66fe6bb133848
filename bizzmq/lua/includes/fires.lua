-- fires: reads and writes the state of a schedule. Needs numbers.
--
-- It is "due at id fired skipped" and, for a paused schedule, a tab and the record of the pause: the due time and the
-- time of the last fire in ms, the id of its message or '-', and two counts. While an occurrence waits for the last
-- message, the due time is that of the occurrence, and the one in `due` was put off. A schedule without an entry, or with
-- an unreadable one, has never fired. The pause is returned with its tab.
local function fires_of(fires, name)
  local stored = redis.call('HGET', fires, name) or ''
  local due, at, id, fired, skipped, pause = string.match(stored, '^(%d+) (%d+) ([%w-]+) (%d+) (%d+)(.*)$')
  due, at, fired, skipped = count_of(due), count_of(at), count_of(fired), count_of(skipped)
  if not (due and at and fired and skipped and (pause == '' or string.find(pause, '^\t[^\n]+$'))) then
    return {due = 0, at = 0, id = '-', fired = 0, skipped = 0, pause = ''}
  end
  return {due = due, at = at, id = id, fired = fired, skipped = skipped, pause = pause}
end

local function store_fires(fires, name, state)
  redis.call('HSET', fires, name, string.format('%.0f %.0f %s %.0f %.0f', state.due, state.at, state.id,
    math.min(state.fired, EXACT), math.min(state.skipped, EXACT)) .. state.pause)
end
