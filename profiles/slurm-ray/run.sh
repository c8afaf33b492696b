#!/bin/bash
# One Slurm allocation, Ray across its nodes, Snakemake beside Ray's head. From the checkout, on a login node:
#
#   sbatch --nodes 4 --cpus-per-task 16 --mem 64G profiles/slurm-ray/run.sh              the whole workflow
#   sbatch --nodes 2 --cpus-per-task 8 --gpus-per-node 1 profiles/slurm-ray/run.sh -n    arguments go to snakemake
#
# The environment that is active where sbatch is called must lie on the shared file system. When the allocation's time
# runs out, the same command goes on with what is missing, after `gaitloom unlock`.
#SBATCH --job-name gaitloom-ray
#SBATCH --ntasks-per-node 1
#SBATCH --no-kill
#SBATCH --output gaitloom-ray-%j.log
set -euo pipefail

private=$(mktemp -d "$PWD/.ray-$SLURM_JOB_ID-XXXXXX") # on the shared file system, for this user's eyes
trap 'rm -rf "$private"' EXIT
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$private/token"
chmod 600 "$private/token"

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$private/token" RAY_USAGE_STATS_ENABLED=0
HEAD=$(hostname -I | cut -d' ' -f1)
PORT=$((20000 + SLURM_JOB_ID % 20000))
export HEAD PORT

# On every node, by the same Python as Snakemake's. The allocation's first node, where this script runs, has the head.
node='
set -euo pipefail
mkdir -p -m 700 "/tmp/ray-$SLURM_JOB_ID-$SLURM_NODEID"
if [ "$SLURM_NODEID" = 0 ]; then
  where="--head --node-ip-address=$HEAD --port=$PORT --include-dashboard=false"
else
  where="--address=$HEAD:$PORT --node-ip-address=$(hostname -I | cut -d" " -f1)"
fi
exec ray start $where --temp-dir="/tmp/ray-$SLURM_JOB_ID-$SLURM_NODEID" --disable-usage-stats --object-store-memory=200000000 \
  --num-cpus="${SLURM_CPUS_ON_NODE}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
  ${SLURM_MEM_PER_NODE:+--memory=$((SLURM_MEM_PER_NODE * 1000000))} --block
'
srun --ntasks "$SLURM_JOB_NUM_NODES" --ntasks-per-node 1 --overlap --kill-on-bad-exit=0 bash -c "$node" &
ray=$!
end() {
  code=$?
  set +e
  kill "$ray"
  wait "$ray"
  srun --ntasks "$SLURM_JOB_NUM_NODES" --overlap bash -c 'rm -rf "/tmp/ray-$SLURM_JOB_ID-$SLURM_NODEID"'
  rm -rf "$private"
  exit $code
}
trap end EXIT

snakemake --profile profiles/slurm-ray --ray-address "$HEAD:$PORT" --ray-interface "$HEAD" "$@"
