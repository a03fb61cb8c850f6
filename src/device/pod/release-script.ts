/** Name of the script below the pod's directory. */
export const releaseScriptPath = 'release-app';

/**
 * Lets a created container begin. systemd runs it once it follows the container's process, and
 * tells it which that is in MAINPID. A start that fails here must end by itself: as the first
 * process of a PID namespace the created process ignores every signal but SIGKILL, so systemd would
 * wait for it until the stop timeout.
 */
export const releaseScript = `#!/bin/sh
# Lets the process of a created container begin.
set -u
dir=$1 crun=$2 id=$3 namespaces=\${4-}

fail() {
  echo "$1" >&2
  # After systemd has seen this script end: its failure is then the result of the start, and not the signal.
  [ -z "\${MAINPID-}" ] ||
    (trap '' TERM; while kill -0 $$; do sleep 0.1; done; kill -KILL "$MAINPID") 2>/dev/null &
  exit 1
}

# The created process ignores the signal of a stop, and so does an app that has only just begun.
trap 'fail "$id was stopped before it had begun"' TERM

# crun writes no newline behind it.
pid=
read -r pid <"$dir/pid" || [ -n "$pid" ] || fail "crun has left no process ID in $dir/pid"
[ "\${MAINPID-}" = "$pid" ] || fail "crun has created process $pid, but systemd follows \${MAINPID:-none}"

# Bundles are constant, process IDs are not.
[ -z "$namespaces" ] || ln -sfn "/proc/$pid/ns" "$namespaces" || fail "$namespaces cannot be made"

"$crun" --root="$dir" --cgroup-manager=disabled start "$id" || fail "crun did not start $id"
`;
