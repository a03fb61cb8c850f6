import type { BoardConfig, EmulatedConfig, NativeConfig } from './board-config.ts';

/** A file or link that the rig puts into a board's root file system. */
export type GuestFile =
  | { readonly path: string; readonly content: string; readonly mode?: number }
  | { readonly path: string; readonly linkTo: string };

/**
 * How many commands can run on a board at the same time: each has its own port and its own agent.
 */
export const agentCount = 3;

/** The name of an agent's port, in QEMU and below `/dev/virtio-ports`. */
export function portName(agent: number): string {
  return `wherry.rig${agent}`;
}

/** The board's address in QEMU's user network, where 10.0.2.2 is the host. */
export const guestAddress = '10.0.2.15';

const system = '/etc/systemd/system';

/** Units that write to the disk by themselves, or slow the boot without use here. */
const masked = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'logrotate.timer',
  'man-db.timer',
  'systemd-tmpfiles-clean.timer',
  'ldconfig.service',
  'systemd-firstboot.service',
  'systemd-hibernate-clear.service',
  'systemd-hwdb-update.service',
  'systemd-journal-catalog-update.service',
  'systemd-logind.service',
  'systemd-pcrmachine.service',
  'systemd-remount-fs.service',
  'systemd-pcrphase.service',
  'systemd-pcrphase-sysinit.service',
  'systemd-tpm2-setup.service',
  'systemd-tpm2-setup-early.service',
  'systemd-update-done.service',
  'systemd-userdbd.socket',
  'getty@tty1.service',
  // Mounts that are not used here, each with a process or two.
  'dev-hugepages.mount',
  'proc-sys-fs-binfmt_misc.automount',
  'sys-fs-fuse-connections.mount',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
];

/**
 * The agent on the board: one request at a time, from its own virtio port. It is a shell script and
 * not a Node program because Node takes seconds to start under emulation, and its memory would
 * disturb measurements. The framing is explained in guest-channel.ts.
 */
const agentScript = `#!/bin/bash
LC_ALL=C
export HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset INVOCATION_ID NOTIFY_SOCKET JOURNAL_STREAM
dir=/run/wherry-rig/$1
mkdir -p "$dir"
cd /root
exec 3<>"/dev/virtio-ports/wherry.rig$1"
answer() { # status, file with output, file with errors
  local sizes
  mapfile -t sizes < <(stat -Lc %s -- "$2" "$3")
  printf '%d %d %d\\n' "$1" "\${sizes[@]}" >&3
  [ "\${sizes[*]}" = '0 0' ] || cat -- "$2" "$3" >&3
}
while :; do
  if ! IFS=' ' read -r -u 3 verb option textBytes dataBytes; then
    sleep 0.1
    continue
  fi
  text=
  [ "$textBytes" = 0 ] || IFS= read -r -u 3 -N "$textBytes" text
  case $verb in
    run)
      if [ "$dataBytes" = 0 ]; then : >"$dir/in"; else head -c "$dataBytes" <&3 >"$dir/in"; fi
      timeout -k 5 "$option" /bin/bash -c "$text" <"$dir/in" >"$dir/out" 2>"$dir/err" 3>&-
      answer $? "$dir/out" "$dir/err"
      ;;
    put)
      : >"$dir/none"
      { mkdir -p -- "$(dirname -- "$text")" && : >"$text"; } 2>"$dir/err"
      status=$?
      if [ $status = 0 ]; then
        head -c "$dataBytes" <&3 >"$text" 2>"$dir/err" && chmod "$option" -- "$text" 2>>"$dir/err"
        status=$?
      else
        head -c "$dataBytes" <&3 >/dev/null
      fi
      answer $status "$dir/none" "$dir/err"
      ;;
    get)
      : >"$dir/none"
      if [ -f "$text" ] && [ -r "$text" ]; then
        answer 0 "$text" "$dir/none"
      else
        printf '%s' "no such file" >"$dir/err"
        answer 1 "$dir/none" "$dir/err"
      fi
      ;;
  esac
done
`;

const agentUnit = `[Unit]
Description=Command channel %i of the board rig
DefaultDependencies=no
After=systemd-tmpfiles-setup-dev.service dev-virtio\\x2dports-wherry.rig%i.device
BindsTo=dev-virtio\\x2dports-wherry.rig%i.device

[Service]
ExecStart=/usr/local/lib/wherry-rig-agent %i
Restart=always
RestartSec=1
IgnoreSIGPIPE=no
KillMode=process
TasksMax=infinity
StandardInput=null
`;

const autologin = `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - vt220
`;

/**
 * The first round of device events without the hundreds of devices that need no driver, name or
 * node of their own: emulated, each costs a few milliseconds.
 */
const udevTrigger = `[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=virtio --subsystem-match=virtio-ports --subsystem-match=tty --subsystem-match=mem --subsystem-match=misc
`;

/** PAM's shared parts, which Debian writes in a maintainer script that does not run here. */
const pamCommon: Readonly<Record<string, string>> = {
  auth: 'auth required pam_unix.so nullok\n',
  account: 'account required pam_unix.so\n',
  password: 'password required pam_unix.so\n',
  session: 'session required pam_unix.so\n',
  'session-noninteractive': 'session required pam_unix.so\n',
};

/** The links that update-alternatives(1) creates on Debian. */
const iptablesPrograms = ['iptables', 'ip6tables'].flatMap((name) => [
  name,
  `${name}-save`,
  `${name}-restore`,
]);

/**
 * What the rig adds to every board's packages.
 * @param machineId 32 hexadecimal digits; a fixed one spares the board a write at every boot
 */
function commonFiles(config: BoardConfig, machineId: string): GuestFile[] {
  return [
    { path: '/etc/hostname', content: `${config.name}\n` },
    { path: '/etc/hosts', content: `127.0.0.1 localhost\n127.0.1.1 ${config.name}\n10.0.2.2 host\n` },
    { path: '/etc/machine-id', content: `${machineId}\n`, mode: 0o444 },
    { path: '/etc/resolv.conf', content: 'nameserver 10.0.2.3\n' },
    { path: '/etc/default/locale', content: 'LANG=C.UTF-8\n' },
    {
      path: '/etc/systemd/journald.conf.d/rig.conf',
      content: '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n',
    },
    {
      path: '/etc/systemd/network/10-rig.network',
      content: `[Match]\nName=eth0\n\n[Network]\nAddress=${guestAddress}/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n`,
    },
    { path: `${system}/default.target`, linkTo: '/usr/lib/systemd/system/multi-user.target' },
    {
      path: `${system}/multi-user.target.wants/systemd-networkd.service`,
      linkTo: '/usr/lib/systemd/system/systemd-networkd.service',
    },
    {
      path: `${system}/network-online.target.wants/systemd-networkd-wait-online.service`,
      linkTo: '/usr/lib/systemd/system/systemd-networkd-wait-online.service',
    },
    ...masked.map((unit) => ({ path: `${system}/${unit}`, linkTo: '/dev/null' })),
    ...Object.entries(pamCommon).map(([name, content]) => ({ path: `/etc/pam.d/common-${name}`, content })),
    { path: '/usr/bin/awk', linkTo: 'gawk' },
    ...iptablesPrograms.map((name) => ({ path: `/usr/sbin/${name}`, linkTo: 'xtables-nft-multi' })),
  ];
}

/** Everything that the rig adds to the packages of an emulated board. */
export function guestFiles(config: EmulatedConfig, machineId: string): GuestFile[] {
  return [
    ...commonFiles(config, machineId),
    { path: `${system}/serial-getty@.service.d/autologin.conf`, content: autologin },
    { path: `${system}/systemd-udev-trigger.service.d/few.conf`, content: udevTrigger },
    { path: `${system}/wherry-rig@.service`, content: agentUnit },
    ...Array.from({ length: agentCount }, (_, agent) => ({
      path: `${system}/sysinit.target.wants/wherry-rig@${agent}.service`,
      linkTo: `${system}/wherry-rig@.service`,
    })),
    { path: '/usr/local/lib/wherry-rig-agent', content: agentScript, mode: 0o755 },
  ];
}

/**
 * Everything that the rig adds to the packages of a native board, whose clock is that of its host.
 */
export function nativeGuestFiles(config: NativeConfig, machineId: string): GuestFile[] {
  return [
    ...commonFiles(config, machineId),
    { path: `${system}/console-getty.service`, linkTo: '/dev/null' },
    { path: '/etc/tmpfiles.d/rig-clock.conf', content: 'f /run/systemd/timesync/synchronized 0644 - - -\n' },
  ];
}
