#!/bin/sh
# Rotates the keys of the gateway's own tokens, and nobody is logged out: run it once a day, from cron, a systemd timer or
# a CronJob. It does nothing until a key is old enough; running it twice does no harm.
#
#   rotate-keys.sh /etc/gateway/keys.json
#
# ACCESS_EVERY, REFRESH_EVERY: how old the newest key for access and refresh tokens may become.
# KEEP: how long a key is kept when its successor has taken over. Never shorter than the longest session
# (`sessions.refresh.absolute`, or `idle` where sessions may last for ever), or those who come back late must log in again.
set -eu
file=${1:?usage: rotate-keys.sh FILE}
gateway keys rotate "$file" --if-older-than "${ACCESS_EVERY:-30d}"
gateway keys rotate "$file" --refresh --if-older-than "${REFRESH_EVERY:-90d}"
gateway keys prune "$file" --older-than "${KEEP:-31d}"
