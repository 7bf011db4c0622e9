#!/bin/sh
# Ready if a worker of this host is registered as live. Takes a quarter of a second.
set -eu
hms-svc workers list --json | grep -q "\"host\": *\"$(hostname)\""
