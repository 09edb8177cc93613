-- Adds to counts of rate limits, and returns how many µs of each are taken up.
-- KEYS: 1 this batch, 2... counts. ARGV: for each count: age, added, least, most, in µs (see RateCounts).
-- A batch that comes again, because its reply was lost, is not added again.

local KEPT_MS, BATCH_KEPT_MS = 5000, 30000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local is_new = redis.call('SET', KEYS[1], '', 'NX', 'PX', BATCH_KEPT_MS)
local taken = {}
for i = 2, #KEYS do
  local at = (i - 2) * 4
  local age, added = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local least, most = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local whole_at = tonumber(redis.call('GET', KEYS[i]) or 0)
  if is_new then
    whole_at = math.max(whole_at, now - age) + added
    if least > 0 then whole_at = math.max(whole_at, now + least) end
    whole_at = math.min(whole_at, now + most)
    local ms = math.ceil(math.max(0, whole_at - now) / 1000) + KEPT_MS
    redis.call('SET', KEYS[i], string.format('%.0f', whole_at), 'PX', string.format('%.0f', ms))
  end
  taken[i - 1] = math.floor(whole_at - now)
end
return taken
