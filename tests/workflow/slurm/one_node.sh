#!/usr/bin/env bash
# A real Slurm of one node on loopback, without systemd and outside of /etc and /run, for the tests of this folder.
#
#   one_node.sh install        Debian's packages of Slurm and munge, where they are missing; needs root
#   one_node.sh run CMD...     start, run CMD with its environment, stop; the exit status is CMD's
#
# SLURM_ONE_NODE_CPUS, _MEM (MiB) and _GPUS are what it advertises, which may be more than there is. GPUs are links to
# /dev/null: they are scheduled and CUDA_VISIBLE_DEVICES is set, but nothing computes on them.
set -euo pipefail

PACKAGES="slurmctld slurmd slurm-client munge"
PROGRAMS="munged mungekey slurmctld slurmd sinfo sbatch srun"
PATH=$PATH:/usr/sbin:/sbin
DAEMONS=()

say() { printf 'one_node: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

missing() {
    local program
    for program in $PROGRAMS; do
        command -v "$program" >/dev/null || { echo "$program"; return; }
    done
}

install() {
    [ -n "$(missing)" ] || return 0
    [ "$(id -u)" = 0 ] || die "$(missing) is not installed; as root: apt-get install --no-install-recommends $PACKAGES"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    apt-get install -qq -y --no-install-recommends $PACKAGES >/dev/null
}

launch() { # NAME CMD... in a session of its own: Ctrl-C is for the tests, which still need it
    local name=$1
    shift
    setsid "$@" >>"$DIR/log/$name" 2>&1 </dev/null &
    DAEMONS+=("$!")
}

await() { # NAME TEST...
    local name=$1 until=$((SECONDS + 60))
    shift
    until timeout 10 "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            tail -n 20 "$DIR/log/$name" >&2
            die "$name did not come up"
        fi
        sleep 0.2
    done
}

write_conf() {
    local host gpu
    host=$(hostname -s)
    for ((gpu = 0; gpu < GPUS; gpu++)); do ln -s /dev/null "$DIR/dev/gpu$gpu"; done
    echo "NodeName=$host Name=gpu File=$DIR/dev/gpu[0-$((GPUS - 1))]" >"$DIR/etc/gres.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=onenode
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$PORT
SlurmdPort=$((PORT + 1))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
CredType=cred/munge
StateSaveLocation=$DIR/ctld
SlurmdSpoolDir=$DIR/slurmd
SlurmctldPidFile=$DIR/ctld/pid
SlurmdPidFile=$DIR/slurmd/pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=5,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MinJobAge=300
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEM Gres=gpu:$GPUS State=UNKNOWN
PartitionName=cpu Nodes=$host MaxTime=1-0 PriorityTier=10 PreemptMode=OFF Default=YES
PartitionName=gpu Nodes=$host MaxTime=1-0 PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=$host MaxTime=1-0 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=$host MaxTime=1-0 PriorityTier=20 PreemptMode=OFF
CONF
}

start() {
    [ -z "$(missing)" ] || die "$(missing) is not installed; run: $0 install"
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/slurm-one-node.XXXXXX")
    export SLURM_CONF=$DIR/etc/slurm.conf
    CPUS=${SLURM_ONE_NODE_CPUS:-16} MEM=${SLURM_ONE_NODE_MEM:-64000} GPUS=${SLURM_ONE_NODE_GPUS:-2}
    PORT=${SLURM_ONE_NODE_PORT:-26817}
    trap stop EXIT
    chmod 0711 "$DIR"
    mkdir "$DIR"/{bin,ctld,dev,etc,log,munge,slurmd}
    write_conf
    # Snakemake's jobsteps call srun without SLURM_CONF, which only a cluster with /etc/slurm can do.
    printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$DIR/bin/srun"
    chmod 0755 "$DIR/bin/srun"
    mungekey --create --keyfile="$DIR/munge/key"
    launch munged munged --foreground --force --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" \
        --pid-file="$DIR/munge/pid" --log-file="$DIR/log/munged" --seed-file="$DIR/munge/seed"
    await munged munge --socket="$DIR/munge/socket" -n
    launch slurmctld slurmctld -D -f "$SLURM_CONF"
    await slurmctld scontrol ping
    launch slurmd slurmd -D -f "$SLURM_CONF" -N "$(hostname -s)"
    await slurmd bash -c 'sinfo -h -o %T | grep -qE "^(idle|mixed|allocated)$"'
}

stop() {
    local try daemon
    # Jobs first: what steps them outlives slurmd.
    squeue -h -o %A 2>/dev/null | xargs -r scancel 2>/dev/null || true
    for ((try = 0; try < 100; try++)); do
        [ -n "$(squeue -h 2>/dev/null)" ] || break
        sleep 0.2
    done
    for daemon in $(printf '%s\n' "${DAEMONS[@]}" | tac); do kill "$daemon" 2>/dev/null || true; done
    wait
    rm -rf "$DIR"
}

case ${1:-} in
install) install ;;
run)
    shift
    start
    rc=0
    PATH=$DIR/bin:$PATH "$@" || rc=$?
    exit "$rc"
    ;;
*) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac
