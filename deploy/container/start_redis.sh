#!/bin/sh
# Repair the append-only file before Redis reads it: of a transaction that a killed server has half written,
# Redis itself keeps the first commands, and mixes them into the next one at its second start.
set -eu
manifest=${REDIS_FOLDER:-/data}/appendonlydir/appendonly.aof.manifest
if [ -f "$manifest" ]; then
    yes | redis-check-aof --fix "$manifest"
fi
exec docker-entrypoint.sh redis-server "$@"
