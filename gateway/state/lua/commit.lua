-- Writes records with all that follows from them, or nothing. Returns 1 or 0.
-- KEYS: 5 the index of the subject, 6... records.
-- ARGV: 4 the number of records, 5 the number of expected sids (-1: any), then for each record in fives: expected
-- edition (empty: none), value, kept until, listed until, sid; then the expected sids; then revocations in threes.
-- A value begins with its edition and a space. Everything is looked at first, and written last.

local records, expected = tonumber(ARGV[4]), tonumber(ARGV[5])
local sids = 6 + records * 5
local is_done, fits = records > 0, true
for i = 1, records do
  local at = 1 + i * 5
  local stored = redis.call('GET', KEYS[5 + i])
  if stored ~= ARGV[at + 1] then is_done = false end
  if (stored and string.match(stored, '^%d+') or '') ~= ARGV[at] then fits = false end
end
if not is_done then
  if not fits then return 0 end
  if expected >= 0 then
    local listed = redis.call('ZRANGEBYSCORE', KEYS[5], '(' .. time[1], '+inf')
    if #listed ~= expected then return 0 end
    local is_listed = {}
    for _, sid in ipairs(listed) do is_listed[sid] = true end
    for i = sids, sids + expected - 1 do
      if not is_listed[ARGV[i]] then return 0 end
    end
  end
end

for i = 1, records do
  local at = 1 + i * 5
  redis.call('SET', KEYS[5 + i], ARGV[at + 1], 'EXAT', ARGV[at + 2])
  if tonumber(ARGV[at + 3]) > now then
    redis.call('ZADD', KEYS[5], ARGV[at + 3], ARGV[at + 4])
  else
    redis.call('ZREM', KEYS[5], ARGV[at + 4])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', time[1])
local latest = redis.call('ZREVRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if latest[2] then redis.call('EXPIREAT', KEYS[5], latest[2]) end

local first = sids + math.max(expected, 0)
if first <= #ARGV then revoke(first) end
return 1
