import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { poll } from '../guest-channel.ts';
import { Helper } from '../processes.ts';
import type { BoardGroup } from './control-group.ts';
import { loopNodes } from './host-kernel.ts';
import { BoardNetwork, card } from './network.ts';

/**
 * The directories of a board. The root is an overlay; `/var` is a plain directory, since an app's
 * overlay and EROFS files cannot be on an overlay.
 */
export type BoardRoot = {
  /** Lower layers of the root, the topmost first. */
  readonly lower: readonly string[];
  /** Has `upper`, `work`, `var` and the console's log. */
  readonly runDir: string;
  /** Whether the board has loop devices, which are this machine's. */
  readonly loops: boolean;
};

/**
 * A script that runs in namespaces of its own before the board: it assembles the root and waits for
 * the network. nspawn keeps state in /run and /tmp, so these are private too.
 */
const prepare = `
set -eu
lower=$1; dir=$2; shift 2
exec 4>>"$dir/console.log"
mount -t tmpfs -o mode=755 rig /run
mkdir /run/board
mount -t overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work,index=off,redirect_dir=off,metacopy=off" rig /run/board
mount --bind "$dir/var" /run/board/var
mount -t tmpfs -o mode=1777 rig /tmp
mkdir /run/nodes
printf %s "$WHERRY_NODES" | while read -r path numbers; do mknod -m 660 "/run/nodes/\${path##*/}" $numbers; done
ip link set lo up
ip tuntap add dev ${card} mode tap
echo ready
read -r go
exec "$@" </dev/null >&4 2>&1 4>&-
`;

const nspawn = [
  // The board has a network of its own, whose settings are a device's to change (/proc/sys/net).
  ...['env', 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1', 'SYSTEMD_NSPAWN_API_VFS_WRITABLE=network'],
  ...['systemd-nspawn', '--directory=/run/board', '--boot'],
  ...['--settings=no', '--register=no', '--keep-unit', '--console=pipe'],
  ...['--resolv-conf=off', '--timezone=off', '--link-journal=no'],
  // A device's systemd is not confined; crun needs calls that nspawn denies by default.
  ...['--capability=all', '--system-call-filter=bpf add_key keyctl request_key mount @keyring'],
];

/** One boot of a native board: from its first process to its last. */
export class Container {
  readonly network: BoardNetwork;
  /** The board's PID 1, as a process ID of this machine. */
  readonly leader: number;
  readonly #nspawn: Helper;
  readonly #runDir: string;

  private constructor(nspawn: Helper, network: BoardNetwork, leader: number, runDir: string) {
    this.#nspawn = nspawn;
    this.#runDir = runDir;
    this.network = network;
    this.leader = leader;
  }

  /**
   * @param boot counts the boots of this board
   * @param wire called with the network before the board's first process runs
   */
  static async start(
    group: BoardGroup,
    root: BoardRoot,
    boot: number,
    wire: (network: BoardNetwork) => Promise<void>,
  ): Promise<Container> {
    const nodes = root.loops ? loopNodes : [];
    const [program = '', ...args] = [
      ...group.prefix,
      ...['unshare', '--mount', '--net', 'sh', '-c', prepare, 'prepare', root.lower.join(':'), root.runDir],
      ...nspawn,
      ...nodes.map(([path]) => `--bind=/run/nodes/${basename(path)}:${path}`),
    ];
    const environment = {
      ...process.env,
      WHERRY_NODES: nodes.map((words) => `${words.join(' ')}\n`).join(''),
    };
    const helper = Helper.start(program, args, environment, 'talk');
    let network: BoardNetwork | undefined;
    try {
      await helper.line();
      network = await BoardNetwork.attach(helper.pid, root.runDir, boot);
      await wire(network);
      helper.say('go');
      const leader = await leaderOf(helper, root.runDir);
      void helper.ended.then(() => network?.end());
      return new Container(helper, network, leader, root.runDir);
    } catch (error) {
      helper.kill('SIGKILL');
      await network?.end();
      throw error;
    }
  }

  get running(): boolean {
    return this.#nspawn.running;
  }

  get complaint(): string {
    return complaintOf(this.#nspawn, this.#runDir);
  }

  /** Settles when the board has ended and its network is gone. */
  get ended(): Promise<void> {
    return this.#nspawn.ended.then(() => this.network.end());
  }

  kill(): void {
    this.#nspawn.kill('SIGKILL');
  }
}

/** nspawn writes its last messages to the console, like the board before. */
function complaintOf(nspawn: Helper, runDir: string): string {
  const last = consoleText(runDir).trimEnd().split('\n').at(-1)?.trim() ?? '';
  if (last === '' || !nspawn.complaint.endsWith('did not say why')) return nspawn.complaint;
  return `systemd-nspawn ended; the last line on its console: ${last}`;
}

/** What a native board has written to its console, over all its boots. */
export function consoleText(runDir: string): string {
  try {
    return readFileSync(join(runDir, 'console.log'), 'utf8');
  } catch {
    return ''; // nothing was written yet
  }
}

/** The board's PID 1 is nspawn's child in a PID namespace of its own. */
async function leaderOf(nspawn: Helper, runDir: string): Promise<number> {
  let leader: number | undefined;
  await poll(
    "the board's first process",
    120_000,
    () => {
      if (!nspawn.running) throw new Error(complaintOf(nspawn, runDir));
      leader = readdirSync('/proc')
        .filter((entry) => /^\d+$/.test(entry))
        .map(Number)
        .find((pid) => isLeader(pid, nspawn.pid));
      return Promise.resolve(leader !== undefined);
    },
    20,
  );
  return leader ?? 0;
}

function isLeader(pid: number, parent: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
    return Number(field('PPid')) === parent && field('Name') === 'systemd' && /\s1$/.test(field('NSpid'));
  } catch {
    return false; // it ended meanwhile
  }
}
