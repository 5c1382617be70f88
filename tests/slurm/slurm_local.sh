#!/usr/bin/env bash
# A Slurm controller and a node on this machine, in a folder of their own, for tests (as root).
#   slurm_local.sh start DIR | stop DIR
set -euo pipefail
dir="$2"
case "$1" in
start)
  mkdir -p "$dir"/{state,spool,log,munge}
  chmod 700 "$dir/munge"
  dir="$(cd "$dir" && pwd)"
  dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
  chmod 400 "$dir/munge/key"
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
  host="$(hostname -s)"
  port=$((20000 + RANDOM % 20000))
  cat > "$dir/slurm.conf" <<CONF
ClusterName=espalier
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MinJobAge=300
JobRequeue=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=4000 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF="$dir/slurm.conf"
  slurmctld
  slurmd
  for _ in $(seq 100); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && { echo "export SLURM_CONF=$dir/slurm.conf"; exit 0; }
    sleep 0.1
  done
  tail -5 "$dir/log/slurmctld" "$dir/log/slurmd" >&2
  exit 1
  ;;
stop)
  export SLURM_CONF="$dir/slurm.conf"
  scancel --state=PENDING --state=RUNNING -u root 2>/dev/null || true
  for name in slurmd slurmctld munge/; do
    pid="$dir/${name%/}.pid"
    [[ "$name" == munge/ ]] && pid="$dir/munge/pid"
    [[ -f "$pid" ]] && kill "$(cat "$pid")" 2>/dev/null || true
  done
  ;;
esac
