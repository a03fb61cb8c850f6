# The app of the conformance suite. It prints facts and the results of its actions, a line each: "<fact>: <line>".
# $1: the name of this process. $2: the name of another app of the pod, if this one examines it.
bb=/usr/bin/busybox
fact() {
  name=$1
  shift
  "$@" 2>&1 </dev/null | while IFS= read -r line; do echo "$name: $line"; done
}
# Prints `done` or the reason of the failure.
deed() {
  name=$1
  shift
  if said=$("$@" 2>&1 </dev/null); then said=done; fi
  echo "deed-$name: ${said##*: }"
}

# Uses no pipe, because the shell itself holds one end of it for a moment. The shell reads this file as descriptor 10.
descriptors() {
  for number in 0 1 2 3 4 5 6 7 8 9 11 12; do
    if [ -L "/proc/$$/fd/$number" ]; then $bb stat -L -c "descriptors: $number %F %t,%T" "/proc/$$/fd/$number"; fi
  done
}
environment() { $bb tr '\0' '\n' <"/proc/$$/environ"; }
powers() { $bb grep -E '^(Uid|Gid|Groups|Umask|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' "/proc/$$/status"; }
echo "begin: $1"
descriptors
fact environment environment
fact powers powers
fact cwd $bb readlink "/proc/$$/cwd"
fact score $bb cat "/proc/$$/oom_score_adj"
case $1 in
pre-start) echo kept >/handed-on ;;
post-stop) fact handed-on $bb cat /handed-on /written ;;
*) whole=yes && echo written >/written ;;
esac
if [ "${whole-}" = "" ]; then
  echo "end: $1"
  exit
fi

namespaces() { for name in pid net ipc uts mnt cgroup; do $bb readlink "/proc/$$/ns/$name"; done; }
mounts() {
  while read -r _ _ _ _ target options rest; do
    rest=${rest#*- } set=
    for option in ro rw nosuid nodev noexec; do
      case ,$options, in *,$option,*) set="$set $option" ;; esac
    done
    echo "$target ${rest%% *}$set"
  done </proc/self/mountinfo
}
nodes() { for node in /dev/*; do [ -L "$node" ] || [ -d "$node" ] || $bb stat -c '%n %t,%T %a' "$node"; done; }
# Skips a process that has ended meanwhile.
processes() {
  for entry in /proc/[0-9]*; do { read -r name <"$entry/comm"; } 2>/dev/null && echo "$name"; done | $bb sort -u
}
# Prints what these files and directories reveal.
readable() {
  for path in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ ! -e "$path" ] || $bb head -c 1 "$path"; done
  for path in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/dev/block /sys/devices/virtual/powercap; do $bb ls "$path" 2>/dev/null; done
}
write() { (echo 1 >"$1") 2>&1; }
# Opens a file for writing and writes nothing, which does no harm if the kernel permits it.
touched() { (: >>"$1") 2>&1; }
lower() { (echo -900 >"/proc/$$/oom_score_adj") 2>&1; }
fact namespaces namespaces
fact mounts mounts
fact nodes nodes
fact ptmx $bb readlink /dev/ptmx
fact hostname $bb hostname
fact hosts $bb cat /etc/hosts
fact links $bb ip -o link
fact addresses $bb ip -o -4 addr
fact routes $bb ip route
fact readable readable
fact handed-on $bb cat /handed-on
fact volumes $bb stat -c '%n %F %a %u:%g' /srv/deep /srv/deep/shared /srv/private /srv/full /srv/file
fact full $bb ls /srv/full
fact file $bb cat /srv/file
fact below $bb cat /srv/data/below/page

deed root write /made
deed mode $bb chmod 0700 /usr
deed owner $bb chown 7:7 /usr
deed shared write "/srv/deep/shared/from-$1"
deed data write /srv/data/new
deed below write /srv/data/below/new
deed file write /srv/file
deed setting touched /proc/sys/kernel/domainname
deed interrupts touched /proc/irq/default_smp_affinity
deed sysrq touched /proc/sysrq-trigger
deed sysfs touched /sys/kernel/uevent_seqnum
deed cgroup touched /sys/fs/cgroup/cgroup.procs
deed full-device write /dev/full
deed node $bb mknod /tmp/disk b 7 0
deed mount $bb mount -t tmpfs none /tmp
deed unmount $bb umount /proc/bus
deed remount $bb mount -o remount,rw /sys
deed hostname $bb hostname other
deed log $bb dmesg
deed address $bb ip addr add 192.0.2.9/32 dev lo
deed namespace $bb unshare -U true
deed limit ulimit -Hn 99999999
deed score lower
deed directory $bb mkdir /tmp/new

# The first process of another app of the pod; its parent is not in these namespaces.
other() {
  for entry in /proc/[0-9]*; do
    if read -r _ _ _ parent _ <"$entry/stat" && [ "$parent" = 0 ]; then
      case $($bb tr '\0' ' ' <"$entry/cmdline") in *" sh /probe $1 "*) echo "${entry#/proc/}" ;; esac
    fi
  done 2>/dev/null
}
if [ $# -gt 1 ]; then
  until pid=$(other "$2") && [ -n "$pid" ]; do $bb sleep 0.1; done
  # The other app creates the file before it writes to it.
  until [ -s "/srv/deep/shared/from-$2" ]; do $bb sleep 0.1; done
  fact other-file $bb cat "/srv/deep/shared/from-$2"
  deed other-environment $bb cat "/proc/$pid/environ"
  deed other-root $bb ls "/proc/$pid/root/"
  deed other-memory $bb head -c 1 "/proc/$pid/mem"
  deed other-signal kill -0 "$pid"
fi
# After the other app has started: before, its process has the name of the runtime.
fact processes processes
echo "errors: said" >&2
echo "end: $1"
trap 'exit 0' TERM
$bb sleep 1000000 &
wait
