import { deafFunction } from './stop-script.ts';

/** Name of the script below the pod's directory. */
export const startScriptPath = 'start-app';

/**
 * The same script for every app: it mounts a fresh writable layer over the image and runs `crun
 * create`, which exits when the app's process exists and waits for its release. The process is then
 * a child of systemd, to which the script reports it before it releases it. The script is in the
 * pod's directory, so that a pod runs without wherry. Its arguments are checked names and wherry's
 * own paths; text of an app (its exec line, environment, paths) is in the bundle and never reaches
 * a shell.
 *
 * It runs in its own mount namespace, so the mounts disappear with the app, however it ends: every
 * start gets a clean layer, and nothing is left behind on the host. Only the layer of an app
 * with a post-stop handler is mounted on the host, below a directory of root, until the app has
 * ended: the handler finds what the app wrote. It takes the layer from the host before it begins,
 * and keeps a copy in a mount namespace of its own.
 */
export const startScript = `#!/bin/sh
# Starts an app, or runs it to its end, in a fresh layer over its images; or runs its post-stop handler in the same one.
set -eu
if [ "$1" = post-stop ]; then
  shift
  exec unshare --mount /bin/sh "$0" stopped "$@"
fi
# The second word is the number of the stop signal, or how many seconds a post-stop handler may take; systemd's own limit is later.
what=$1 signal=$2 limit=$2 dir=$3 size=$4 images=$5 pod=$6 crun=$7 bundle=$8 id=$9 netns=\${10--}
layer=$dir/layer
umask 022

# Secrets, as NAME:MODE:UID:GID. systemd has decrypted them; it has their directory until the unit is stopped, but names it only to the
# first script. They are copied because the app may be another user; a ramfs is never swapped, and only root reaches this one.
hand_over() {
  [ $# -gt 10 ] || return 0
  shift 10
  mount -n -t ramfs -o X-mount.mkdir=0700,mode=0755 wherry "$dir/secrets"
  for secret; do
    name=\${secret%%:*} rest=\${secret#*:}
    file=$dir/secrets/$name
    (umask 077 && cat "$dir/credentials/$name" >"$file")
    chown "\${rest#*:}" "$file"
    chmod "\${rest%%:*}" "$file"
  done
}

# Here and below: systemd has made the cgroup and set its limits; crun must leave it alone.
handle() {
  unset NOTIFY_SOCKET
  hand_over "$@"
  status=0
  timeout -s KILL "$limit" "$crun" --root="$dir" --cgroup-manager=disabled run --bundle "$bundle.post-stop" "$id.post-stop" || status=$?
  # A crun that was killed leaves the state of its container.
  if [ -d "$dir/$id.post-stop" ] && "$crun" --root="$dir" --cgroup-manager=disabled delete --force "$id.post-stop"; then
    echo "the post-stop handler was killed: it took more than $limit s" >&2
  elif [ "$status" -ne 0 ]; then
    echo "the post-stop handler failed: exit status $status" >&2
  fi
  exit "$status"
}

# Takes the layer from the host; there may be none.
taken() {
  "$@" umount -nqlR "$layer" 2>/dev/null || true
}

# Mounts a fresh layer over the images.
lay() {
  if [ "$size" = disk ]; then
    # A file system has no limit for a directory. Only root can reach what the app leaves there until its next start.
    rm -rf "$bundle.layer"
    mkdir -m 0700 "$bundle.layer"
    mount -n --bind -o X-mount.mkdir=0700 "$bundle.layer" "$layer"
  else
    mount -n -t tmpfs -o "X-mount.mkdir=0700,size=$size,mode=0755" wherry "$layer"
  fi
  cd "$layer"
  mkdir -p base/etc upper work rootfs

  # The lowest layer, for an image that has no such files. It is written before the image is mounted: a path
  # through the image could lead anywhere by a link.
  resolv=/etc/resolv.conf
  if [ "$netns" != - ]; then
    # The bundle mounts the directory of the network's hosts file there, so that changes of the file are seen.
    ln -s ../dev/wherry/hosts base/etc/hosts
    # The upstream servers of systemd-resolved. Its own address is on the host's loopback, which the pod cannot reach.
    if [ -r /run/systemd/resolve/resolv.conf ]; then resolv=/run/systemd/resolve/resolv.conf; fi
  else
    printf '127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 %s\\n' "$pod" >base/etc/hosts
  fi
  if [ -r "$resolv" ]; then
    while IFS= read -r line || [ -n "$line" ]; do
      case $netns,$line in /*,nameserver[[:blank:]]127.* | /*,nameserver[[:blank:]]::1) continue ;; esac
      printf '%s\\n' "$line"
    done <"$resolv" >base/etc/resolv.conf
  fi

  # Images, the uppermost first. An option of a mount has at most 256 bytes (fsconfig(2)), so several get short names.
  case $images in
  *:*)
    lower=
    number=0
    IFS=:
    for image in $images; do
      ln -s "$image" "$number"
      lower=$lower$number:
      number=$((number + 1))
    done
    unset IFS
    ;;
  *) lower=$images: ;;
  esac

  # redirect_dir=nofollow: attributes in an image must not move directories about.
  mount -n -t overlay -o "nodev,lowerdir=\${lower}base,upperdir=upper,workdir=work,redirect_dir=nofollow" wherry rootfs
}

if [ "$what" = stopped ]; then
  taken nsenter --mount=/proc/1/ns/mnt
  # If the app was started, its layer, an overlay, is still here.
  [ "$(stat -f -c %t "$layer/rootfs" 2>/dev/null)" = 794c7630 ] || lay
  handle "$@"
fi

# Up to the message to systemd below, a stop ends this script, and systemd kills what is left. A shell without a trap would outlive
# SIGWINCH.
pid=
early() {
  echo "$id was stopped while it started" >&2
  [ -z "$pid" ] || kill -KILL "$pid"
  exit 1
}
trap early "$signal"
if [ "\${LAYER-}" != mounted ]; then
  [ -z "\${CREDENTIALS_DIRECTORY-}" ] || ln -sfn "$CREDENTIALS_DIRECTORY" "$dir/credentials"

  # Devices of an app may appear late, or may have been removed. Each start checks again.
  if [ -e "$bundle/devices" ]; then
    while IFS= read -r device; do
      if [ -c "$device" ] || [ -b "$device" ]; then continue; fi
      echo "there is no device $device; a restart of the app will check again" >&2
      exit 1
    done <"$bundle/devices"
  fi

  # systemd opens the sockets of the app first. If it failed, the start fails, and the restart of the app tries again.
  if [ "\${WHERRY_SOCKETS-0}" != "\${LISTEN_FDS-0}" ]; then
    echo "systemd could not open all socket-activated ports of this app; does another process have one of them?" >&2
    exit 1
  fi

  # Somebody may have removed the namespace of the network. The unit that makes it does not notice, and no restart would help. Its
  # restart restarts the apps.
  if [ "$netns" != - ] && [ "$(stat -f -c %t "$netns" 2>/dev/null)" != 6e736673 ]; then
    echo "the network namespace $netns is not there; the network is attached again" >&2
    systemctl try-restart --no-block "wherry-network-$(systemd-escape "\${netns#*/wherry-}").service"
    exit 1
  fi

  [ ! -d "$layer/rootfs" ] || taken # by an end that was interrupted
  lay
  if [ -d "$bundle.post-stop" ]; then
    export LAYER=mounted
    exec unshare --mount /bin/sh "$0" "$@"
  fi
fi
hand_over "$@"

${deafFunction}
# Runs a container as a child. systemd sends the stop signal to this script, because it is the process that systemd waits for.
run() {
  stopped=
  : >"$dir/pid"
  trap stop "$signal"
  (
    # Only the app gets the sockets.
    [ "$2" = "$id" ] || unset LISTEN_FDS LISTEN_PID LISTEN_FDNAMES NOTIFY_SOCKET
    exec "$crun" --root="$dir" --cgroup-manager=disabled run --pid-file "$dir/pid" --bundle "$1" "$2"
  ) &
  child=$!
  # The trap interrupts the wait.
  until
    status=0
    wait "$child" || status=$?
    ! kill -0 "$child" 2>/dev/null
  do :; done
  trap early "$signal"
  pid=
  # So that systemd reports the signal, as for other apps.
  [ "$stopped" != killed ] || kill -KILL $$
}
stop() {
  stopped=asked pid=
  read -r pid <"$dir/pid" || [ -n "$pid" ] || early
  if deaf "$pid" "$signal"; then
    stopped=killed
    echo "<5>killed at once: its process 1 has no handler for signal $signal, which the kernel then drops"
    kill -KILL "$pid"
  else
    kill "-$signal" "$pid" 2>/dev/null || true
  fi
}

if [ -d "$bundle.pre-start" ]; then
  run "$bundle.pre-start" "$id.pre-start"
  [ -z "$stopped" ] || early
  [ "$status" = 0 ] || {
    echo "the pre-start handler failed: exit status $status; the app is not started" >&2
    exit "$status"
  }
fi
# An app that runs once: systemd gets its exit status.
if [ "$what" = run ]; then
  run "$bundle" "$id"
  exit "$status"
fi

# crun must not see the socket: it would wait for a notification of the app itself.
socket=$NOTIFY_SOCKET
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID
"$crun" --root="$dir" --cgroup-manager=disabled create --pid-file "$dir/pid" --bundle "$bundle" "$id"
read -r pid <"$dir/pid" || [ -n "$pid" ] # crun does not end it with a newline

# By this one message the unit is started, and systemd waits for the created process instead of this script: a stop from here on runs
# the stop script, also before the app begins. systemd-notify waits until systemd has read it: systemd does not take a process that has
# ended as the main one, so the status of an app that ends at once would be lost, and a failure would count as success.
if [ "$what" = notify ]; then set --; else set -- READY=1; fi
# The other side of the pipe starts the app at the end of systemd-notify, also if this script is killed by then: nothing else would, and
# the unit would count as active.
NOTIFY_SOCKET=$socket systemd-notify "MAINPID=$pid" "$@" | {
  read -r _ || true
  exec "$crun" --root="$dir" --cgroup-manager=disabled start "$id"
} || {
  # A stop may have killed it. systemd ends this script with it.
  kill -0 "$pid" 2>/dev/null || exit 1
  echo "crun did not start $id" >&2
  kill -KILL "$pid"
  exit 1
}
`;
