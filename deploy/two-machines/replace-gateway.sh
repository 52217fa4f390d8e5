#!/bin/sh
# Replaces the program of a gateway while its players go on playing: replace-gateway.sh HOST PROGRAM
# Run it for one gateway after the other, once all nodes are replaced.
set -eu
host=$1 program=$2
scp "$program" "$host:castellan.new"
ssh "$host" '
  set -eu
  sudo install castellan.new /usr/local/bin/castellan
  old=a new=b
  if systemctl --quiet is-active castellan-gateway@b; then old=b new=a; fi
  sudo systemctl start "castellan-gateway@$new"
  # The old process exits by itself, once the new one has all connections.
  for second in $(seq 60); do
    systemctl --quiet is-active "castellan-gateway@$old" || break
    sleep 1
  done
  if systemctl --quiet is-active "castellan-gateway@$old"; then
    echo "castellan-gateway@$old goes on: journalctl -u castellan-gateway@$new says why it was not replaced" >&2
    exit 1
  fi
  # The new one comes back after a restart of the machine.
  sudo systemctl disable --quiet "castellan-gateway@$old"
  sudo systemctl enable --quiet "castellan-gateway@$new"
'
