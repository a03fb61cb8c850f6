import { readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lacksOf, type Lacks } from './abilities.ts';
import { BoardCommands } from './board-commands.ts';
import {
  type BlockStats,
  type Board,
  type BootOptions,
  type RunOptions,
  type RunResult,
  usualTimeoutMs,
} from './board-types.ts';
import { freePort } from './free-port.ts';
import type { BoardImage } from './image.ts';
import { Machine } from './machine.ts';
import { LosableDisk } from './power.ts';
import { diskDevice, networkDevice, runPaths } from './qemu-args.ts';
import { makeRunDir } from './run-dir.ts';
import { joinTerminal } from './serial-terminal.ts';
import { makeLayer, type Snapshot } from './snapshot.ts';
import { checkFilesystem, type FilesystemCheck } from './filesystem-check.ts';

/** A board that QEMU emulates. */
export class EmulatedBoard extends BoardCommands implements Board {
  override readonly name: string;
  readonly arch: 'arm64' | 'armhf';
  readonly nodeAbi: number;
  readonly lacks: Lacks;
  readonly #image: BoardImage;
  readonly #snapshot: Snapshot;
  readonly #losable: boolean;
  readonly #runDir = makeRunDir();
  readonly #forwards = new Map<number, number>();
  #boots = 0;
  #cableIn = true;
  #machine: Machine | undefined;
  #disk: LosableDisk | undefined;

  /** Use {@link startBoard}. */
  constructor(image: BoardImage, snapshot: Snapshot, losable: boolean) {
    super();
    this.name = image.config.name;
    this.lacks = lacksOf(image.config.name);
    this.arch = image.config.arch;
    this.nodeAbi = image.config.nodeAbi;
    this.#image = image;
    this.#snapshot = snapshot;
    this.#losable = losable;
  }

  override async run(script: string, options: RunOptions = {}): Promise<RunResult> {
    const timeoutMs = options.timeoutMs ?? usualTimeoutMs;
    const answer = await this.#running.channel.request(
      {
        verb: 'run',
        option: String(Math.ceil(timeoutMs / 1000)),
        text: script,
        ...(options.stdin === undefined ? {} : { data: Buffer.from(options.stdin) }),
      },
      // The board enforces the limit. The extra minute allows for its slowness and a busy agent.
      timeoutMs + 60_000,
      options.signal,
    );
    return { status: answer.status, stdout: answer.stdout.toString(), stderr: answer.stderr.toString() };
  }

  async copyIn(source: string | Uint8Array, guestPath: string, mode = 0o644): Promise<void> {
    const data = typeof source === 'string' ? await readFile(source) : source;
    const option = mode.toString(8).padStart(4, '0');
    const request = { verb: 'put', option, text: guestPath, data } as const;
    const { status, stderr } = await this.#running.channel.request(request, copyTimeoutMs);
    if (status !== 0)
      throw new Error(`${guestPath} could not be written on ${this.name}: ${stderr.toString().trim()}`);
  }

  async copyOut(guestPath: string): Promise<Buffer> {
    const request = { verb: 'get', option: '0', text: guestPath } as const;
    const { status, stdout, stderr } = await this.#running.channel.request(request, copyTimeoutMs);
    if (status !== 0)
      throw new Error(`${guestPath} could not be read on ${this.name}: ${stderr.toString().trim()}`);
    return stdout;
  }

  async forward(guestPort: number, hostPort = 0): Promise<number> {
    const known = this.#forwards.get(guestPort);
    if (known !== undefined) return known;
    const port = hostPort === 0 ? await freePort() : hostPort;
    await this.#addForward(guestPort, port);
    this.#forwards.set(guestPort, port);
    return port;
  }

  get forwards(): ReadonlyMap<number, number> {
    return this.#forwards;
  }

  async cutNetwork(): Promise<void> {
    await this.#running.qmp.execute('set_link', { name: networkDevice, up: false });
    this.#cableIn = false;
  }

  async restoreNetwork(): Promise<void> {
    await this.#running.qmp.execute('set_link', { name: networkDevice, up: true });
    this.#cableIn = true;
  }

  /**
   * Cuts the power at once. Writes that were not flushed to the disk are lost. Needs `powerLoss`.
   */
  async powerCut(): Promise<void> {
    const disk = this.#disk;
    if (disk === undefined) throw new Error('Only a board started with powerLoss can lose its power.');
    disk.cut();
    await this.#powerOff();
  }

  async bootAgain(options: BootOptions = {}): Promise<void> {
    await this.#powerOff();
    await this.launch('cold', options.network ?? true, options.hardwareClock);
  }

  async reboot(): Promise<void> {
    const machine = this.#running;
    // A machine that emulates the same memory a second time is slow for a minute, so a new one is
    // started. It uses the same disk, with its unflushed writes.
    await machine.qmp.execute('set-action', { reboot: 'shutdown' });
    // The agent may end before its answer has arrived.
    const asked = this.run('systemctl reboot').catch(() => undefined);
    const late = setTimeout(() => void machine.kill(), bootTimeoutMs);
    await Promise.all([machine.ended, asked]);
    clearTimeout(late);
    await this.launch('cold', this.#cableIn);
  }

  /** Sets the board's clock. A boot reads the hardware clock, which still has the host's time. */
  async setClock(time: Date): Promise<void> {
    await this.check(`date -u -s @${time.getTime() / 1000}`);
  }

  async blockStats(): Promise<BlockStats> {
    type Entry = { qdev?: string; stats: Record<string, number> };
    const entries = (await this.#running.qmp.execute('query-blockstats')) as Entry[];
    const stats = entries.find(({ qdev }) => qdev?.includes(diskDevice))?.stats ?? {};
    return {
      readBytes: stats['rd_bytes'] ?? 0,
      writtenBytes: stats['wr_bytes'] ?? 0,
      writes: stats['wr_operations'] ?? 0,
      flushes: stats['flush_operations'] ?? 0,
    };
  }

  /**
   * Checks the file system of a board that is off, journal replayed, as `fsck` would at the next
   * boot.
   */
  async fsck(): Promise<FilesystemCheck> {
    if (this.#machine !== undefined) throw new Error('The disk of a running board cannot be checked.');
    return await checkFilesystem(this.#layer, this.#runDir);
  }

  override consoleLog(): string {
    try {
      return readFileSync(runPaths.consoleLog(this.#runDir), 'utf8');
    } catch {
      return '';
    }
  }

  async terminal(): Promise<void> {
    await joinTerminal(runPaths.console(this.#runDir), this.ended);
  }

  get ended(): Promise<void> {
    return this.#machine?.ended ?? Promise.resolve();
  }

  async stop(): Promise<void> {
    await this.#powerOff();
    rmSync(this.#runDir, { recursive: true, force: true });
  }

  /** For {@link startBoard} and {@link bootAgain}. */
  async launch(from: 'snapshot' | 'cold', network: boolean, hardwareClock?: Date): Promise<void> {
    if (this.#boots++ === 0) await makeLayer(this.#snapshot.disk, 'qcow2', this.#layer);
    this.#clearSockets();
    if (this.#losable) this.#disk ??= await LosableDisk.attach(this.#layer, this.#runDir);
    const memory = from === 'cold' ? undefined : { path: this.#snapshot.memory, share: false };
    const machine = await Machine.start(
      this.#image.config,
      this.#snapshot.memoryMiB,
      {
        kernel: this.#image.kernel,
        initrd: this.#image.initrd,
        dtb: this.#image.dtb,
        disk:
          this.#disk === undefined
            ? { kind: 'qcow2', path: this.#layer }
            : { kind: 'nbd', socket: this.#disk.socket },
        memory,
        runDir: this.#runDir,
        hardwareClock,
      },
      from === 'cold' ? undefined : this.#snapshot.state,
    );
    this.#machine = machine;
    for (const [guest, host] of this.#forwards) await this.#addForward(guest, host);
    this.#cableIn = network;
    if (!network) await this.cutNetwork();
    await machine.resume();
    if (from === 'snapshot') await this.setClock(new Date());
    else await this.#up();
  }

  get #layer(): string {
    return join(this.#runDir, 'disk.qcow2');
  }

  get #running(): Machine {
    const machine = this.#machine;
    if (machine === undefined) throw new Error(`${this.name} is switched off.`);
    if (!machine.running) throw new Error(`${this.name} is not running any more. ${machine.complaint}`);
    return machine;
  }

  async #addForward(guestPort: number, hostPort: number): Promise<void> {
    const said = await this.#running.qmp.human(`hostfwd_add user0 tcp:127.0.0.1:${hostPort}-:${guestPort}`);
    if (said.trim() !== '')
      throw new Error(`Port ${hostPort} of this machine cannot be forwarded: ${said.trim()}`);
  }

  /**
   * Waits until the board accepts commands: the agents start late in the boot, after file systems
   * and before most services.
   */
  async #up(): Promise<void> {
    await this.waitFor('true', undefined, bootTimeoutMs);
  }

  #clearSockets(): void {
    for (const name of ['qmp.sock', 'console.sock', 'rig0.sock', 'rig1.sock', 'rig2.sock', 'console.log']) {
      rmSync(join(this.#runDir, name), { force: true });
    }
  }

  async #powerOff(): Promise<void> {
    const machine = this.#machine;
    const disk = this.#disk;
    this.#machine = undefined;
    this.#disk = undefined;
    machine?.killNow();
    await machine?.ended;
    if (disk === undefined) return;
    disk.cut();
    await disk.closeStore();
  }
}

const copyTimeoutMs = 300_000;
const bootTimeoutMs = 300_000;
