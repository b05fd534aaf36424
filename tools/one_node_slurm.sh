#!/bin/sh
# A Slurm of one node on this machine, to try the project on a batch system.
#
#   sudo tools/one_node_slurm.sh start     # installs Debian's slurm-wlm and munge where they are missing
#   export SLURM_CONF=...                  # as it prints; then sbatch, squeue and the tests find it
#   tools/one_node_slurm.sh stop           # ends it and removes its folder; packages stay
#
# Everything it writes is in one folder, $ONE_NODE_SLURM or one under the temporary folder, and it
# runs as whoever starts it. Starting twice is starting once.
set -eu

home=${ONE_NODE_SLURM:-${TMPDIR:-/tmp}/one-node-slurm-$(id -u)}
export SLURM_CONF="$home/slurm.conf"

say() { echo "one_node_slurm: $*" >&2; }

running() { # whether the process of a file with its id is there
    [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

finish() { # end the process of a file with its id, and wait for it
    running "$1" || return 0
    process=$(cat "$1")
    kill "$process"
    for _ in $(seq 50); do
        kill -0 "$process" 2>/dev/null || return 0
        sleep 0.2
    done
    kill -9 "$process" 2>/dev/null || true
}

install_packages() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "slurmctld, slurmd and munged are needed; on Debian or Ubuntu start this as root once, or apt-get install slurm-wlm munge"
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null
}

configure() {
    host=$(hostname -s 2>/dev/null || uname -n | cut -d . -f 1)
    # More processors than there are let several jobs run on a small machine.
    processors=$(nproc)
    [ "$processors" -ge 4 ] || processors=4
    memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    user=$(id -un)
    cat >"$SLURM_CONF" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$home/munge.socket
CredType=cred/munge
StateSaveLocation=$home/controller
SlurmdSpoolDir=$home/node
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
# No control groups: those are the real system's.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$processors RealMemory=$memory
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    install_packages
    mkdir -p "$home/controller" "$home/node"
    chmod 755 "$home"
    if ! running "$home/munged.pid"; then
        [ -s "$home/munge.key" ] || (umask 077 && head -c 128 /dev/urandom >"$home/munge.key")
        munged --key-file="$home/munge.key" --socket="$home/munge.socket" \
            --pid-file="$home/munged.pid" --log-file="$home/munged.log" \
            --seed-file="$home/munged.seed" --num-threads=2 --force 2>>"$home/munged.log"
    fi
    running "$home/slurmctld.pid" || { configure && slurmctld; }
    running "$home/slurmd.pid" || slurmd
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -Eq '^(idle|mixed|allocated)$'; then
            say "ready"
            echo "export SLURM_CONF=$SLURM_CONF"
            return 0
        fi
        sleep 0.5
    done
    say "the node did not come up; the end of its logs:"
    tail -n 5 "$home"/*.log >&2
    exit 1
}

stop() {
    [ -d "$home" ] || return 0
    if running "$home/slurmctld.pid"; then
        squeue --noheader --format=%A 2>/dev/null | xargs -r scancel 2>/dev/null || true
        for _ in $(seq 20); do
            [ -n "$(squeue --noheader 2>/dev/null)" ] || break
            sleep 0.5
        done
    fi
    for daemon in slurmd slurmctld munged; do finish "$home/$daemon.pid"; done
    rm -rf "$home"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    say "usage: one_node_slurm.sh start|stop"
    exit 2
    ;;
esac
