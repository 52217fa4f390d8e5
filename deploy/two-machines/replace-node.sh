#!/bin/sh
# Replaces the program of a node while its players go on playing: replace-node.sh NAME HOST PROGRAM
# Run it for one node after the other, from a machine that reaches the database (CASTELLAN_DATABASE_URL) and the hosts.
set -eu
name=$1 host=$2 program=$3
castellan drain "$name"
scp "$program" "$host:/tmp/castellan.new"
ssh "$host" 'sudo install /tmp/castellan.new /usr/local/bin/castellan && sudo systemctl restart castellan-node'
# The new process has the old name, and gets the shards back.
until castellan nodes | awk -v name="$name" '$1 == name && $5 > 0 { found = 1 } END { exit !found }'; do sleep 1; done
castellan nodes
