-- enqueue: puts ids where claims find them.
--
-- The score of the last message that this script has added, by priority and end.
local ends = {}

-- The score that makes a message the first or the last of its priority. A priority p has the scores from -p up to
-- -p + 1; the first message of a priority gets the middle. Where doubles leave no room between, messages have equal
-- scores and are ordered by id. Redis users that were created for an earlier version may not run ZREVRANGEBYSCORE: for
-- them each priority counts as empty.
local function score_of(prioritized, priority, at_head)
  local low = -tonumber(priority)
  local _, exponent = math.frexp(math.abs(low) + 1)
  local step = math.ldexp(1, exponent - 53)
  if step > 0.25 then return low end
  local place = priority .. (at_head and ' head' or ' tail')
  local at = ends[place]
  if not at then
    local from, to = string.format('%.17g', low), string.format('(%.17g', low + 1)
    local found = at_head and redis.call('ZRANGEBYSCORE', prioritized, from, to, 'WITHSCORES', 'LIMIT', 0, 1)
      or redis.pcall('ZREVRANGEBYSCORE', prioritized, to, from, 'WITHSCORES', 'LIMIT', 0, 1)
    at = tonumber(found[2])
  end
  local score = at and at + (at_head and -step or step) or low + 0.5
  if score < low or score >= low + 1 then score = at end
  ends[place] = score
  return score
end

-- Puts an id at the head (before all others of its priority) or at the tail.
local function enqueue(waiting, prioritized, id, priority, at_head)
  if priority ~= '0' then
    redis.call('ZADD', prioritized, score_of(prioritized, priority, at_head), id)
  elseif at_head then
    redis.call('RPUSH', waiting, id)
  else
    redis.call('LPUSH', waiting, id)
  end
end
