-- Returns the time, the sids that the index of a subject lists, and their records if they are the ones asked for.
-- KEYS: 1 the index, 2... the records of the sids in ARGV. A sid without a record is taken off the index.

local time = redis.call('TIME')
local listed = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. time[1], '+inf')
local is_asked, same = {}, #listed == #ARGV
for _, sid in ipairs(ARGV) do is_asked[sid] = true end
for _, sid in ipairs(listed) do same = same and is_asked[sid] or false end
local records = {}
if same then
  for i, sid in ipairs(ARGV) do
    local record = redis.call('GET', KEYS[1 + i])
    if not record then redis.call('ZREM', KEYS[1], sid) end
    records[i] = record or ''
  end
end
return {time, listed, same and 1 or 0, records}
