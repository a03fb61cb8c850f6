/** Name of the script below the pod's directory. */
export const probeScriptPath = 'probe-app';

/** Files of a probe in the runtime directory of its app. */
export const probeFiles = {
  /** Exit status of the program. */
  answer: 'probe.answer',
  /** The error of crun if it did not run the program. */
  log: 'probe.log',
} as const;

/**
 * Runs the program of a probe once, confined as the app is, and writes its exit status to a file.
 * Without a cgroup manager `crun exec` stays in the cgroup of its caller, so this process moves to
 * the app's first, as `wherry exec` does. A restarted app gets a new cgroup of the same name, so
 * the script checks that the cgroup contains both this process and the app's.
 *
 * The program is in the app's cgroup and not in the unit's, so systemd cannot end it at the timeout
 * of the probe. This script does.
 */
export const probeScript = `#!/bin/sh
# Runs the program of a probe in its app.
set -u
dir=$1 crun=$2 id=$3 process=$4

fail() {
  echo "$1" >&2
  exit 1
}

rm -f "$dir/${probeFiles.answer}" "$dir/${probeFiles.log}" "$dir/probe.pid"
# crun does not end it with a newline.
main=
read -r main <"$dir/pid" || [ -n "$main" ] || fail "$id does not run"
# Its cgroup of version 2 (cgroups(7)).
group=
while IFS=: read -r hierarchy controllers path; do
  case $hierarchy in 0) group=$path ;; esac
done <"/proc/$main/cgroup"
[ -n "$group" ] || fail "$id does not run"
members=/sys/fs/cgroup$group/cgroup.procs

seen() {
  count=0
  while read -r pid; do
    case $pid in "$main" | $$) count=$((count + 1)) ;; esac
  done <"$members" || count=0
  [ "$count" = "$1" ]
}
seen 1 || fail "$id does not run"
echo $$ >"$members" || fail "$id does not run"
seen 2 || fail "$id was restarted"
# crun exec ignores the oomScoreAdj of a process; the program inherits this value.
read -r score <"/proc/$main/oom_score_adj" && echo "$score" >"/proc/$$/oom_score_adj"

"$crun" --root="$dir" --cgroup-manager=disabled --log="file:$dir/${probeFiles.log}" --log-format=json \\
  exec --pid-file="$dir/probe.pid" --process="$process" "$id" </dev/null &
running=$!
end() {
  program=
  read -r program <"$dir/probe.pid" || [ -n "$program" ] && kill -KILL "$program"
  kill -KILL "$running"
  exit 1
} 2>/dev/null
trap end TERM
wait "$running"
echo "$?" >"$dir/${probeFiles.answer}"
`;
