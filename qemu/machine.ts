import type { EmulatedConfig } from './board-config.ts';
import { connectSocket } from './connect-socket.ts';
import { GuestChannel, poll } from './guest-channel.ts';
import { agentCount } from './guest-files.ts';
import { Helper } from './processes.ts';
import { qemuArgs, qemuProgram, runPaths, type MachineFiles } from './qemu-args.ts';
import { Qmp } from './qmp.ts';

/** QEMU could not be started or ended by itself. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
}

/**
 * One QEMU process with its control connection and the channel to the agents; stopped until
 * {@link resume}.
 */
export class Machine {
  readonly qmp: Qmp;
  readonly channel: GuestChannel;
  readonly #qemu: Helper;

  private constructor(qemu: Helper, qmp: Qmp, channel: GuestChannel) {
    this.#qemu = qemu;
    this.qmp = qmp;
    this.channel = channel;
    qmp.onEvent((event) => {
      if (event === 'RESET') channel.reset();
    });
    void qemu.ended.then(() => {
      channel.close();
      qmp.close();
    });
  }

  /**
   * Starts QEMU, stopped before the first instruction.
   * @param savedState file with a state made by {@link saveState}, from which to resume
   * @throws MachineError with QEMU's message if it does not start
   */
  static async start(
    config: EmulatedConfig,
    memoryMiB: number,
    files: MachineFiles,
    savedState?: string,
  ): Promise<Machine> {
    const args = qemuArgs(config, memoryMiB, files, savedState !== undefined);
    const qemu = Helper.start(qemuProgram(config.arch), args);
    try {
      const stillComing = (): void => {
        if (!qemu.running) throw new MachineError(qemu.complaint);
      };
      const agents = Array.from({ length: agentCount }, (_, agent) => runPaths.agent(files.runDir, agent));
      const qmp = await Qmp.connect(await connectSocket(runPaths.qmp(files.runDir), stillComing));
      const channel = await GuestChannel.connect(agents, stillComing);
      const machine = new Machine(qemu, qmp, channel);
      if (savedState !== undefined) await machine.#loadState(savedState);
      return machine;
    } catch (error) {
      qemu.kill('SIGKILL');
      await qemu.ended;
      throw qemu.complaint.endsWith('did not say why')
        ? error
        : new MachineError(qemu.complaint, { cause: error });
    }
  }

  get running(): boolean {
    return this.#qemu.running;
  }

  get ended(): Promise<void> {
    return this.#qemu.ended;
  }

  get complaint(): string {
    return this.#qemu.complaint;
  }

  resume(): Promise<unknown> {
    return this.qmp.execute('cont');
  }

  /**
   * Stops the machine and saves its state except memory and disk, which are files already. Memory
   * must be shared, so that QEMU omits it ("x-ignore-shared", which also clones VMs of containers
   * from a template).
   */
  async saveState(path: string): Promise<void> {
    await this.qmp.execute('stop');
    await this.#ignoreSharedMemory();
    await this.qmp.execute('migrate', { uri: `exec:cat > ${shellQuoted(path)}` });
    await this.#migrated();
  }

  /** Kills QEMU at once, without regard to the disk layer under it. */
  async kill(): Promise<void> {
    this.#qemu.kill('SIGKILL');
    await this.#qemu.ended;
  }

  /** For a power cut: does not wait, so that the next process can be killed at once. */
  killNow(): void {
    this.#qemu.kill('SIGKILL');
  }

  async #loadState(path: string): Promise<void> {
    await this.#ignoreSharedMemory();
    await this.qmp.execute('migrate-incoming', { uri: `exec:cat ${shellQuoted(path)}` });
    await this.#migrated();
  }

  async #ignoreSharedMemory(): Promise<void> {
    await this.qmp.execute('migrate-set-capabilities', {
      capabilities: [{ capability: 'x-ignore-shared', state: true }],
    });
  }

  async #migrated(): Promise<void> {
    await poll(
      "QEMU to move the machine's state",
      60_000,
      async () => {
        const info = (await this.qmp.execute('query-migrate')) as { status?: string; 'error-desc'?: string };
        if (info.status === 'failed')
          throw new MachineError(`QEMU lost the state: ${info['error-desc'] ?? 'no reason'}`);
        return info.status === 'completed';
      },
      20,
    );
  }
}

function shellQuoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
