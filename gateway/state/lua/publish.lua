-- Puts revocations in force, and proves by a heartbeat that this server may write.
revoke(4)
redis.call('HSET', KEYS[1], 'beat', now_ms)
return 1
