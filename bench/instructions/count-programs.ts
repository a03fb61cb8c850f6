import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, entryPoints } from '../../cross/bundle.ts';
import { bundleUnits, unitBundle } from '../../cross/unit-bundle.ts';
import { line } from '../table.ts';
import { type ArmNode, armNode } from './arm-node.ts';
import { examineScene, pullScene, type PullScene, type WebServer, webServer } from './scenes.ts';
import type { StoredCounts } from './stored-counts.ts';
import { unitCommand } from './unit-command.ts';

const root = join(import.meta.dirname, '../..');
/** Sizes of the images from which the cost of a megabyte is computed. */
const megabytes = [4, 16] as const;

/**
 * Counts the instructions of Node and the programs of the package on an ARMv8 processor. It takes
 * about two minutes.
 */
export async function countPrograms(say: (sentence: string) => void): Promise<StoredCounts> {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-instructions-'));
  const server = await webServer();
  try {
    const node = await armNode(say);
    const programs = join(directory, 'programs');
    await writePrograms(programs);
    const counter = new Counter(node, programs, directory, say);
    const bare = await counter.bareNode();
    await counter.makeSnapshot();
    const { fixed, perMegabyte } = await counter.pull(server);
    const examine = await counter.examine('examine a command', 1);
    const examineTwo = await counter.examine('examine a command that two keys must sign', 2);
    const wherryd = await counter.wherryd();
    const millions = {
      node: bare,
      pullFixed: fixed,
      pullPerMegabyte: perMegabyte,
      examine,
      examineTwo,
      wherryd,
    };
    return { node: node.version, millions };
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function writePrograms(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const nodeModules = join(root, 'node_modules');
  const { files } = await bundle({ root, nodeModules, entries: entryPoints, version: '0.0.0' });
  const units = await bundleUnits({ root, nodeModules, version: '0.0.0' });
  writeFileSync(join(directory, unitBundle), units.bytes);
  for (const [name, bytes] of files) writeFileSync(join(directory, name), bytes);
  writeFileSync(join(directory, 'package.json'), '{"type":"commonjs"}\n');
}

class Counter {
  readonly #node: ArmNode;
  readonly #programs: string;
  readonly #directory: string;
  readonly #say: (sentence: string) => void;
  /** The options of Node for the snapshot. */
  readonly #snapshot: readonly string[];

  constructor(node: ArmNode, programs: string, directory: string, say: (sentence: string) => void) {
    this.#node = node;
    this.#programs = programs;
    this.#directory = directory;
    this.#say = say;
    this.#snapshot = ['--snapshot-blob', join(directory, 'units.blob')];
  }

  /** The minimum of some counts, since disturbances only add instructions. */
  async #least(name: string, count: () => Promise<number>, runs = 2): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    for (let run = 0; run < runs; run++) least = Math.min(least, await count());
    const millions = Math.round(least / 1e6);
    this.#say(`${name}: ${millions} million`);
    return millions;
  }

  async bareNode(): Promise<number> {
    return await this.#least('node -e 0', () => this.#node.count(['-e', '0']));
  }

  /** Makes the snapshot like cross/debian/snapshot. */
  async makeSnapshot(): Promise<void> {
    const { flags, environment } = unitCommand('wherry-snapshot.service');
    const args = [...flags, ...this.#snapshot, '--build-snapshot', join(this.#programs, unitBundle), 'warm'];
    await this.#node.count(args, { env: environment });
  }

  async pull(server: WebServer): Promise<{ fixed: number; perMegabyte: number }> {
    const nothing = await pullScene(this.#directory, server, 0);
    const small = await pullScene(this.#directory, server, megabytes[0]);
    const large = await pullScene(this.#directory, server, megabytes[1]);
    const counted = async (scene: PullScene) => ({
      x: scene.downloadBytes / 1e6,
      y: await this.#least(`pull of ${(scene.downloadBytes / 1e6).toFixed(1)} MB`, async () => {
        scene.prepare();
        const { flags, environment } = unitCommand('wherry-pull@.service');
        const env = { ...environment, ...scene.environment };
        const count = await this.#node.count([...flags, ...this.#snapshot, 'pull', scene.job], {
          env,
        });
        scene.check();
        return count;
      }),
    });
    const fixed = (await counted(nothing)).y;
    const perMegabyte = Math.round(line(await counted(small), await counted(large)).slope);
    return { fixed, perMegabyte };
  }

  async examine(name: string, signatures: number): Promise<number> {
    const scene = await examineScene(this.#directory, signatures);
    const { flags, environment } = unitCommand('wherry-examine.service');
    const args = [...flags, ...this.#snapshot, 'examine', scene.directory];
    const count = () => this.#node.count(args, { env: environment });
    const least = await this.#least(name, count);
    scene.check();
    return least;
  }

  /**
   * wherryd is stopped when it has logged that it cannot reach systemd. A mount namespace hides the
   * host's directories from it.
   */
  async wherryd(): Promise<number> {
    const { flags, environment } = unitCommand('wherryd.service');
    const etc = join(this.#directory, 'etc');
    mkdirSync(join(etc, 'wherry'), { recursive: true });
    const config = 'fleet = "farm"\ndevice = "pump-1"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n';
    writeFileSync(join(etc, 'wherry/wherry.toml'), config);
    writeFileSync(join(etc, 'passwd'), 'wherry-pull:x:999:999::/:/usr/sbin/nologin\n');
    const program = join(this.#programs, 'wherryd.js');
    const until = 'systemd cannot be reached';
    const count = () => this.#node.count([...flags, program], { env: environment, until, hidden: etc });
    return await this.#least('wherryd from start to stop, without systemd', count);
  }
}
