-- Common to all scripts that write the feed of a shard.
-- KEYS: 1 the feed's head, 2 revocations in force, 3 when each ends, 4 news.
-- ARGV: 1 a fresh epoch, 2 the number of shards, 3 how many news to keep.

local time = redis.call('TIME')
local now = tonumber(time[1])
local micros = time[1] .. string.format('%06d', time[2])
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

-- Returns the position of the newest news. A new epoch means: whoever was reading has missed something.
local function begin()
  local last = redis.call('HGET', KEYS[1], 'last')
  if not last then
    last = '0-0'
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'last', last, 'shards', ARGV[2], 'beat', now_ms)
    redis.call('DEL', KEYS[4])
  end
  return last
end

local function prune()
  local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. time[1], 'LIMIT', 0, 200)
  if #over > 0 then
    redis.call('HDEL', KEYS[2], unpack(over))
    redis.call('ZREM', KEYS[3], unpack(over))
  end
end

-- Returns the value with the greater number and the later end. Both read `before until at_ms since_ms`.
local function merged(old, new)
  if not old then return new end
  local old_before, old_until, old_rest = string.match(old, '^(%d+) (%d+) (.+)$')
  local before, ends, rest = string.match(new, '^(%d+) (%d+) (.+)$')
  if tonumber(old_before) >= tonumber(before) then before, rest = old_before, old_rest end
  if tonumber(old_until) > tonumber(ends) then ends = old_until end
  return before .. ' ' .. ends .. ' ' .. rest
end

-- Puts in force what ARGV lists from `first` on, in threes: id, when it ends, value. What changes nothing is no news.
local function revoke(first)
  local last = begin()
  local was = last
  local seq = tonumber(string.match(last, '^%d+'))
  for i = first, #ARGV, 3 do
    local id, ends = ARGV[i], ARGV[i + 1]
    local old = redis.call('HGET', KEYS[2], id)
    local value = merged(old, ARGV[i + 2])
    if value ~= old and tonumber(ends) >= now then
      seq = seq + 1
      last = string.format('%.0f', seq) .. '-' .. micros
      redis.call('HSET', KEYS[2], id, value)
      redis.call('ZADD', KEYS[3], string.match(value, '^%d+ (%d+)'), id)
      redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], last, id, value)
    end
  end
  if last ~= was then
    redis.call('HSET', KEYS[1], 'last', last)
    prune()
    local latest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
    for key = 2, 4 do redis.call('EXPIREAT', KEYS[key], latest[2] + 1) end
  end
end
