#!/bin/sh
# Ready: a worker of this host stands in the register of live workers. Costs a quarter of a second.
set -eu
hms-svc workers list --json | grep -q "\"host\": *\"$(hostname)\""
