#!/usr/bin/env bash
# A real Slurm of one node, this machine, from Debian's packages: no systemd, no cgroups, no accounting.
#
#   slurm.sh run COMMAND …   start it, run the command with SLURM_CONF set, stop it; the command's exit status
#   slurm.sh start           start it, if it is not running, and print the line to evaluate: export SLURM_CONF=…
#   slurm.sh stop            stop it, if it is running
#
# All it makes lies in one folder, so that neither /etc nor a Slurm that the machine belongs to is touched.
set -euo pipefail

HOME_OF_SLURM=${TANDEM_SLURM:-/var/tmp/tandem-slurm}
export SLURM_CONF=$HOME_OF_SLURM/slurm.conf
SOCKET=$HOME_OF_SLURM/munge/socket

refuse() {
    echo "error: $1" >&2
    exit 2
}

require() {
    for program in munged slurmctld slurmd sbatch srun squeue; do
        PATH=$PATH:/usr/sbin command -v "$program" >/dev/null ||
            refuse "$program is not installed; install Slurm with: apt-get install slurm-wlm munge"
    done
    [ "$(id -u)" = 0 ] || refuse "Slurm's daemons are started by root here; give the same command as root, in a container."
}

configure() {
    mkdir -p "$HOME_OF_SLURM"/{munge,state,spool}
    chmod 755 "$HOME_OF_SLURM" "$HOME_OF_SLURM/munge"
    [ -s "$HOME_OF_SLURM/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$HOME_OF_SLURM/munge/key")
    echo "CgroupAutomount=no" >"$HOME_OF_SLURM/cgroup.conf"
    # slurmd -C prints this machine as a line of slurm.conf: name, sockets, cores, memory.
    cat >"$SLURM_CONF" <<CONF
ClusterName=tandem
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$SOCKET
CredType=cred/munge
StateSaveLocation=$HOME_OF_SLURM/state
SlurmdSpoolDir=$HOME_OF_SLURM/spool
SlurmctldPidFile=$HOME_OF_SLURM/slurmctld.pid
SlurmdPidFile=$HOME_OF_SLURM/slurmd.pid
SlurmctldLogFile=$HOME_OF_SLURM/slurmctld.log
SlurmdLogFile=$HOME_OF_SLURM/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=5
MinJobAge=30
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
$(slurmd -C | grep ^NodeName= | sed "s/^NodeName=\([^ ]*\)/NodeName=\1 NodeAddr=127.0.0.1/") State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

alive() {
    [ -s "$HOME_OF_SLURM/$1.pid" ] && kill -0 "$(cat "$HOME_OF_SLURM/$1.pid")" 2>/dev/null
}

start() {
    require
    configure
    alive munged || munged --force --socket="$SOCKET" --key-file="$HOME_OF_SLURM/munge/key" \
        --pid-file="$HOME_OF_SLURM/munged.pid" --log-file="$HOME_OF_SLURM/munge/log" --seed-file="$HOME_OF_SLURM/munge/seed"
    alive slurmctld || slurmctld
    alive slurmd || slurmd
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
            return
        fi
        sleep 0.5
    done
    tail -n 5 "$HOME_OF_SLURM"/slurm{ctld,d}.log >&2
    refuse "the node did not become idle within 30 seconds; the last lines of its logs are above."
}

stop() {
    if alive slurmctld; then
        scancel --user=root 2>/dev/null || true
        sleep 1
    fi
    for daemon in slurmd slurmctld munged; do
        if alive "$daemon"; then
            kill "$(cat "$HOME_OF_SLURM/$daemon.pid")"
        fi
    done
    for _ in $(seq 40); do
        if ! alive slurmd && ! alive slurmctld && ! alive munged; then
            rm -rf "$HOME_OF_SLURM"
            return
        fi
        sleep 0.25
    done
    refuse "a daemon of $HOME_OF_SLURM does not end; look at its logs there."
}

export PATH=$PATH:/usr/sbin
case ${1:-} in
start) start && echo "export SLURM_CONF=$SLURM_CONF" ;;
stop) stop ;;
run)
    shift
    trap stop EXIT
    start
    "$@"
    ;;
*) refuse "say start, stop or run COMMAND …" ;;
esac
