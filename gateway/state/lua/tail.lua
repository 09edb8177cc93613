-- Returns epoch, newest position, now, heartbeat, what went wrong with the heartbeat, and the news from a position on.
-- ARGV: 4 the reader's epoch, 5 the number of its position (empty: no news), 6 how many news at most.
-- The heartbeat is a write: it proves that this server is a primary that may write. If it may not, reading goes on.

local head = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'beat')
local failure = ''
if not head[1] then
  local reply = redis.pcall('HSET', KEYS[1], 'epoch', ARGV[1], 'last', '0-0', 'shards', ARGV[2], 'beat', now_ms)
  if type(reply) == 'table' and reply.err then
    failure = reply.err
  else
    redis.call('DEL', KEYS[4])
    head = {ARGV[1], '0-0', now_ms}
  end
elseif not head[3] or now_ms - head[3] > 1000 or tonumber(head[3]) > tonumber(now_ms) then
  local reply = redis.pcall('HSET', KEYS[1], 'beat', now_ms)
  if type(reply) == 'table' and reply.err then
    failure = reply.err
  else
    head[3] = now_ms
    prune()
  end
end

local news = {}
if ARGV[5] ~= '' and head[1] == ARGV[4] then
  news = redis.call('XRANGE', KEYS[4], ARGV[5] .. '-0', '+', 'COUNT', ARGV[6])
end
return {head[1] or '', head[2] or '0-0', now_ms, head[3] or '', failure, news}
