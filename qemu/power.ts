import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { connectSocket } from './connect-socket.ts';
import { Helper } from './processes.ts';

/**
 * A disk that loses unflushed writes in a power cut, like a real one. If only QEMU were killed, the
 * host would keep the pages. So QEMU writes to nbdkit, whose cache filter writes to the layer only
 * when the board flushes, through qemu-nbd, which reads and writes qcow2.
 */
export class LosableDisk {
  readonly #cache: Helper;
  readonly #store: Helper;
  /** The socket that QEMU connects to. */
  readonly socket: string;

  private constructor(cache: Helper, store: Helper, socket: string) {
    this.#cache = cache;
    this.#store = store;
    this.socket = socket;
  }

  /** @param layer a qcow2 file @param runDir where the sockets go */
  static async attach(layer: string, runDir: string): Promise<LosableDisk> {
    const storeSocket = join(runDir, 'store.sock');
    const socket = join(runDir, 'disk.sock');
    for (const path of [storeSocket, socket]) rmSync(path, { force: true });
    const store = Helper.start('qemu-nbd', [
      ...['--persistent', '--shared=0', '--format=qcow2', '--discard=unmap', '--cache=writeback'],
      ...['--socket', storeSocket, layer],
    ]);
    await listening(store, storeSocket);
    const cache = Helper.start(
      'nbdkit',
      ['--foreground', '--unix', socket, '--filter=cache', 'nbd', `socket=${storeSocket}`, 'cache=writeback'],
      // The filter keeps the unflushed blocks in an unlinked file there.
      { ...process.env, TMPDIR: runDir },
    );
    await listening(cache, socket);
    return new LosableDisk(cache, store, socket);
  }

  /** Cuts the power: nothing unflushed reaches the layer after this call. */
  cut(): void {
    this.#cache.kill('SIGKILL');
  }

  /**
   * Waits until the store has written what it received before the cut; the layer can be used again
   * afterwards.
   */
  async closeStore(): Promise<void> {
    await this.#cache.ended;
    this.#store.kill('SIGTERM');
    await this.#store.ended;
  }
}

async function listening(helper: Helper, socket: string): Promise<void> {
  const probe = await connectSocket(socket, () => {
    if (!helper.running) throw new Error(helper.complaint);
  });
  probe.destroy();
}
