/** Name of the script below the pod's directory. */
export const releaseScriptPath = 'release-app';

/**
 * Starts the created container of a holder. systemd runs the script once it tracks the container's
 * process, whose ID it passes in MAINPID. A start that fails here must end the process itself, so
 * that the failure is the result of the start.
 */
export const releaseScript = `#!/bin/sh
# Starts the process of a created holder.
set -u
dir=$1 crun=$2 id=$3 namespaces=$4

fail() {
  echo "$1" >&2
  # Kills only after systemd has seen this script end, so that its failure is the result of the start, and not the signal.
  [ -z "\${MAINPID-}" ] ||
    (while kill -0 $$; do sleep 0.1; done; kill -KILL "$MAINPID") 2>/dev/null &
  exit 1
}

# crun does not end it with a newline.
pid=
read -r pid <"$dir/pid" || [ -n "$pid" ] || fail "crun has left no process ID in $dir/pid"
[ "\${MAINPID-}" = "$pid" ] || fail "crun has created process $pid, but systemd follows \${MAINPID:-none}"

# Bundles are constant, process IDs change: the bundles of apps name this link.
ln -sfn "/proc/$pid/ns" "$namespaces" || fail "$namespaces cannot be made"

"$crun" --root="$dir" --cgroup-manager=disabled start "$id" || fail "crun did not start $id"
`;
