-- held: whether a worker holds a message.
--
-- A script checks before it moves a message. It adds the message to its destination before it removes it from its
-- source, so an error in between leaves two copies, never none.
local function is_held(processing, id)
  for _, held in ipairs(redis.call('LRANGE', processing, 0, -1)) do
    if held == id then return true end
  end
  return false
end
