import { mkdirSync, renameSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lacksOf, type Ability, type Lacks } from '../abilities.ts';
import { BoardCommands } from '../board-commands.ts';
import type { NativeConfig } from '../board-config.ts';
import {
  type Board,
  type BootOptions,
  type RunOptions,
  type RunResult,
  usualTimeoutMs,
} from '../board-types.ts';
import { freePort } from '../free-port.ts';
import { makeRunDir } from '../run-dir.ts';
import { Commands } from './commands.ts';
import { consoleText, Container } from './container.ts';
import { killGroup, makeGroup, renewGroup, type BoardGroup } from './control-group.ts';
import { Keeper } from './keeper.ts';
import { copyTree, type NativeTree } from './tree.ts';

/**
 * A board of this machine's own architecture: a container with its own systemd, files, network and
 * control groups.
 */
export class NativeBoard extends BoardCommands implements Board {
  override readonly name: string;
  readonly arch: NativeConfig['arch'];
  readonly nodeAbi: number;
  readonly lacks: Lacks;
  readonly #tree: NativeTree;
  readonly #group: BoardGroup = makeGroup();
  readonly #runDir = makeRunDir();
  readonly #keeper = new Keeper(this.#group, this.#runDir);
  readonly #forwards = new Map<number, number>();
  #boots = 0;
  #cableIn = true;
  #container: Container | undefined;
  #commands: Commands | undefined;

  /** Use `startBoard`. */
  constructor(config: NativeConfig, tree: NativeTree) {
    super();
    this.name = config.name;
    this.arch = config.arch;
    this.nodeAbi = config.nodeAbi;
    this.lacks = lacksOf(config.name);
    this.#tree = tree;
  }

  override async run(script: string, options: RunOptions = {}): Promise<RunResult> {
    const seconds = String(Math.ceil((options.timeoutMs ?? usualTimeoutMs) / 1000));
    const argv = ['timeout', '-k', '5', seconds, '/bin/bash', '-c', script];
    const { status, stdout, stderr } = await this.#on.run(argv, options);
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  async copyIn(source: string | Uint8Array, guestPath: string, mode = 0o644): Promise<void> {
    const stdin = typeof source === 'string' ? await readFile(source) : source;
    const script = 'mkdir -p -- "$(dirname -- "$0")" && cat >"$0" && chmod "$1" -- "$0"';
    const { status, stderr } = await this.#on.run(['sh', '-c', script, guestPath, mode.toString(8)], {
      stdin,
    });
    if (status !== 0)
      throw new Error(`${guestPath} could not be written on ${this.name}: ${stderr.toString().trim()}`);
  }

  async copyOut(guestPath: string): Promise<Buffer> {
    const { status, stdout, stderr } = await this.#on.run(['cat', '--', guestPath]);
    if (status !== 0)
      throw new Error(`${guestPath} could not be read on ${this.name}: ${stderr.toString().trim()}`);
    return stdout;
  }

  async forward(guestPort: number, hostPort = 0): Promise<number> {
    const known = this.#forwards.get(guestPort);
    if (known !== undefined) return known;
    const port = hostPort === 0 ? await freePort() : hostPort;
    await this.#running.network.forward(guestPort, port);
    this.#forwards.set(guestPort, port);
    return port;
  }

  get forwards(): ReadonlyMap<number, number> {
    return this.#forwards;
  }

  async cutNetwork(): Promise<void> {
    await this.#running.network.plug(false);
    this.#cableIn = false;
  }

  async restoreNetwork(): Promise<void> {
    await this.#running.network.plug(true);
    this.#cableIn = true;
  }

  async powerCut(): Promise<void> {
    const container = this.#running;
    killGroup(this.#group);
    await container.ended;
    this.#container = undefined;
  }

  async bootAgain(options: BootOptions = {}): Promise<void> {
    if (options.hardwareClock !== undefined) return this.#cannot('clock');
    await this.#container?.ended;
    await this.launch(options.network ?? true);
  }

  async reboot(): Promise<void> {
    const container = this.#running;
    await Promise.all([container.ended, this.#leave('systemctl reboot')]);
    await this.launch(this.#cableIn);
  }

  setClock(): Promise<never> {
    return this.#cannot('clock');
  }

  blockStats(): Promise<never> {
    return this.#cannot('disk');
  }

  fsck(): Promise<never> {
    return this.#cannot('disk');
  }

  override consoleLog(): string {
    return consoleText(this.#runDir);
  }

  async terminal(): Promise<void> {
    await Promise.race([this.#on.terminal(), this.ended]);
  }

  get ended(): Promise<void> {
    return this.#container?.ended ?? Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#container?.kill();
    await this.#container?.ended;
    this.#container = undefined;
    await this.#keeper.release();
  }

  /** For `startBoard` and {@link bootAgain}. */
  async launch(network: boolean): Promise<void> {
    if (this.#boots === 0) {
      copyTree(this.#tree.var, join(this.#runDir, 'var'));
      for (const layer of ['upper', 'work']) mkdirSync(join(this.#runDir, layer));
    }
    this.#cableIn = network;
    await renewGroup(this.#group);
    const loops = this.lacks.loop === undefined;
    const root = { lower: this.#tree.lower, runDir: this.#runDir, loops };
    const container = await Container.start(this.#group, root, this.#boots++, async (link) => {
      for (const [guest, host] of this.#forwards) await link.forward(guest, host);
      if (!network) await link.plug(false);
    });
    this.#container = container;
    this.#commands = new Commands(container.leader, this.#group, this.#runDir);
    await this.waitFor('systemctl show-environment', undefined, bootTimeoutMs);
  }

  /** Waits until nothing is left to start. */
  async settled(): Promise<void> {
    await this.waitFor(
      'systemctl is-system-running',
      ({ stdout }) => ['running', 'degraded'].includes(stdout.trim()),
      bootTimeoutMs,
    );
  }

  /** Shuts the board down in order and moves what it wrote into a directory: `upper` and `var`. */
  async shutDownInto(dir: string): Promise<void> {
    const container = this.#running;
    await Promise.all([container.ended, this.#leave('systemctl poweroff')]);
    this.#container = undefined;
    for (const part of ['upper', 'var']) renameSync(join(this.#runDir, part), join(dir, part));
  }

  /** Runs a command that ends the board, perhaps before it has answered. */
  async #leave(script: string): Promise<void> {
    await this.run(script).catch(() => undefined);
  }

  #cannot(ability: Ability): Promise<never> {
    return Promise.reject(new Error(`${this.name} cannot do that: ${this.lacks[ability] ?? ability}.`));
  }

  get #running(): Container {
    const container = this.#container;
    if (container === undefined) throw new Error(`${this.name} is switched off.`);
    if (!container.running) throw new Error(`${this.name} is not running any more. ${container.complaint}`);
    return container;
  }

  get #on(): Commands {
    if (!this.#running.running || this.#commands === undefined)
      throw new Error(`${this.name} is switched off.`);
    return this.#commands;
  }
}

const bootTimeoutMs = 180_000;
