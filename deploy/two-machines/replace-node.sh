#!/bin/sh
# Replaces the program of a node while its players go on playing: replace-node.sh NAME HOST PROGRAM
# Run it for one node after the other, from a machine that reaches the database (CASTELLAN_DATABASE_URL) and the hosts.
# If it fails after the drain, either run it again, or let the old process have its shards back: castellan undrain NAME.
set -eu
name=$1 host=$2 program=$3

# The number of shards of the process that has the name.
shards() { castellan nodes | awk -v name="$name" '$1 == name { shards = $5 } END { print shards + 0 }'; }

before=$(shards)
# First, because a copy that fails must change nothing.
scp "$program" "$host:castellan.new"
castellan drain "$name"
ssh "$host" 'sudo install castellan.new /usr/local/bin/castellan && sudo systemctl restart castellan-node'
# The new process has the old name, and gets the same shards back: ten seconds after its start they begin to move.
tries=0
until [ "$(shards)" -ge "$before" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
        echo "$name has $(shards) shards after a minute, not $before as before; see its log on $host" >&2
        exit 1
    fi
    sleep 1
done
castellan nodes
