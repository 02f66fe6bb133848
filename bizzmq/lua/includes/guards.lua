-- guards: what a script checks before its first write.
--
-- A script is atomic but not transactional: an error in its middle undoes nothing, and a repetition would do the first
-- half twice. So every script meets a key of the wrong type before its first write, here or by a read.
local function check_types(hashes, lists, sets)
  for _, key in ipairs(hashes) do redis.call('HLEN', key) end
  for _, key in ipairs(lists) do redis.call('LLEN', key) end
  for _, key in ipairs(sets) do redis.call('ZCARD', key) end
end

-- The first write of a script must free memory, or Redis at its memory limit refuses the whole script. Only for a hash
-- of workers, supervisors, totals or pauses, in which no field has the name '': a hash of messages may have a forged one.
local function allow_when_full(hash)
  redis.call('HDEL', hash, '')
end
