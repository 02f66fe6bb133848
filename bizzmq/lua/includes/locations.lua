-- locations: finds ids in lists and sets, all in one step.
--
-- Searches a list. Returns id -> how often it is there, and id -> the position of its oldest copy, from the right.
local function search(list, length, rows)
  local times, positions = {}, {}
  for id in pairs(rows) do
    local found = redis.call('LPOS', list, id, 'RANK', -1, 'COUNT', 0)
    times[id], positions[id] = #found, length - (found[1] or 0)
  end
  return times, positions
end

-- The same by reading the list, which takes as long as ten searches. In pages, to keep the tables small.
local function read_through(list, length, rows)
  local times, positions = {}, {}
  for first = 0, length - 1, 1000 do
    for i, id in ipairs(redis.call('LRANGE', list, first, first + 999)) do
      if rows[id] then times[id], positions[id] = (times[id] or 0) + 1, length - first - i + 1 end
    end
  end
  return times, positions
end

-- Id -> its locations: key, how often the id is there, and the position of its oldest copy.
local function locations_of(ids, lists, sets)
  local rows = {}
  for _, id in ipairs(ids) do rows[id] = {} end
  for _, list in ipairs(lists) do
    local length = redis.call('LLEN', list)
    if length > 0 then
      local can_search = #ids < 10 and not redis.pcall('LPOS', list, '', 'COUNT', 0, 'MAXLEN', 1).err -- Redis 6.0.6
      local times, positions = (can_search and search or read_through)(list, length, rows)
      for id, row in pairs(rows) do
        if (times[id] or 0) > 0 then row[#row + 1] = {key = list, times = times[id], position = positions[id]} end
      end
    end
  end
  for _, set in ipairs(sets) do
    for id, row in pairs(rows) do
      if redis.call('ZSCORE', set, id) then row[#row + 1] = {key = set, times = 1, position = 0} end
    end
  end
  return rows
end

-- The processing lists of all registered workers, as a set; nil if one of them is not among the given lists. No other
-- list can appear: only a registered worker fills one, and its list ends with its registration.
local function registered_lists(lists, workers, other_workers)
  local given, registered = {}, {}
  for _, list in ipairs(lists) do given[list] = true end
  for _, hash in ipairs({workers, other_workers}) do
    local prefix = string.gsub(hash, 'workers$', 'processing:')
    for _, worker in ipairs(redis.call('HKEYS', hash)) do
      if not given[prefix .. worker] then return nil end
      registered[prefix .. worker] = true
    end
  end
  return registered
end
