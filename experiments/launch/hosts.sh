#!/usr/bin/env bash
# shellcheck disable=SC2154 # set by the launchers
# Sourced by the launchers that reach the hosts of a slice by ssh: what is run there. They set
# `arguments`, of training as a shell reads them, and `root`, of the repository, and define
#   send FILE             copies it into the home of every host
#   on_all_hosts COMMAND  ends with the first exit status of a host that is not 0

# Nobody is there to answer: what would ask fails instead, as where a key has a passphrase that no
# ssh-agent knows. gcloud accepts the key of a host the first time that it meets its number, which
# no other machine gets, and insists on it afterwards: it asks neither time. A host that is gone
# without a word is noticed after three minutes.
# shellcheck disable=SC2034 # used where this is sourced
ssh_options=(-oBatchMode=yes -oServerAliveInterval=60)

# What a lost connection left running saves and ends first: two runs must not share a workdir.
# shellcheck disable=SC2016 # to be expanded there
stop_leftovers='leftover="^$HOME/hornet-env/bin/python -m hornet_jax train"
    if pkill -TERM -f "$leftover"; then
      for _ in $(seq 120); do pgrep -f "$leftover" >/dev/null || break; sleep 1; done
      pkill -KILL -f "$leftover" || true
    fi'

# uv brings a Python for images where it is older than 3.11, or belongs to the system; where pip
# refuses that for the same reason, uv comes by its own installer.
set_up() {
  run git -C "$root" archive --format=tar.gz --output="$scratch/hornet.tar.gz" HEAD &&
    send "$scratch/hornet.tar.gz" &&
    on_all_hosts "set -e
    $stop_leftovers
    rm -rf ~/hornet && mkdir ~/hornet && tar -xzf ~/hornet.tar.gz -C ~/hornet && cd ~/hornet
    python3 -m pip install --quiet --user uv 2>/dev/null ||
      curl -LsSf https://astral.sh/uv/install.sh | sh
    ~/.local/bin/uv venv --quiet --clear --python=3.12 ~/hornet-env
    ~/.local/bin/uv pip install --quiet --python ~/hornet-env/bin/python \
      'jax[tpu]' --editable '.[prepare,gcs]' -c constraints.txt"
}

# gcloud's own failures are 1, so a bug comes as 3.
train() {
  on_all_hosts "$stop_leftovers
    cd ~/hornet || exit
    ~/hornet-env/bin/python -m hornet_jax train$arguments
    status=\$?
    [ \$status -ne 1 ] || status=3
    exit \$status"
}
