# Sourced by the scripts: sets `jobs`, the number of compilers to run at once.
if [[ -n ${JOBS:-} ]]; then
  jobs=$JOBS
else
  jobs=$(nproc)
  memory_gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  ((memory_gib / 2 >= jobs)) || jobs=$((memory_gib / 2))
  ((jobs >= 1)) || jobs=1
fi
