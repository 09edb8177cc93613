-- Returns the number of shards that the store was set up with; this one sets it up.
begin()
return redis.call('HGET', KEYS[1], 'shards')
