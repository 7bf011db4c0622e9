#!/bin/sh
# Creates the secrets that compose.yaml names; existing ones are not changed.
set -eu
cd "$(dirname "$0")"
if [ -d secrets ]; then
    echo "secrets/ exists; remove it to start again (the volumes keep the old passwords)" >&2
    exit 0
fi
umask 077
mkdir secrets

password() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

redis=$(password)
postgres=$(password)
printf 'requirepass %s\n' "$redis" >secrets/redis_auth.conf
printf '%s' "$postgres" >secrets/postgres_password
cat >secrets/hms-svc.toml <<END
broker_url = "redis://:$redis@redis:6379/0"
database_url = "postgresql://hms:$postgres@postgres:5432/hms"
END
# the users inside the containers must read them; the mode of the folder excludes others
chmod 0644 secrets/*
