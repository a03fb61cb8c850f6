import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectSocket } from '../connect-socket.ts';
import { guestAddress } from '../guest-files.ts';
import { Helper } from '../processes.ts';

/** The board's network card; guest-files.ts has the same name. */
export const card = 'eth0';

/**
 * The network of one boot: slirp4netns, which is QEMU's user network as a program. The host's
 * 127.0.0.1 is 10.0.2.2 from the board. It affects neither other boards nor the machine's own
 * network configuration.
 */
export class BoardNetwork {
  readonly #slirp: Helper;
  readonly #socket: string;
  readonly #pid: number;

  private constructor(slirp: Helper, socket: string, pid: number) {
    this.#slirp = slirp;
    this.#socket = socket;
    this.#pid = pid;
  }

  /**
   * @param pid a process in the network namespace, where {@link card} is a persistent tap device
   */
  static async attach(pid: number, runDir: string, boot: number): Promise<BoardNetwork> {
    const socket = join(runDir, `slirp${boot}.sock`);
    const slirp = Helper.start('slirp4netns', [
      '--netns-type=path',
      `--api-socket=${socket}`,
      `/proc/${pid}/ns/net`,
      card,
    ]);
    const network = new BoardNetwork(slirp, socket, pid);
    try {
      await network.#ask({ execute: 'list_hostfwd' });
      return network;
    } catch (error) {
      slirp.kill('SIGKILL');
      throw error;
    }
  }

  async forward(guestPort: number, hostPort: number): Promise<void> {
    await this.#ask({
      execute: 'add_hostfwd',
      arguments: {
        proto: 'tcp',
        host_addr: '127.0.0.1',
        host_port: hostPort,
        guest_addr: guestAddress,
        guest_port: guestPort,
      },
    });
  }

  /** Connections stay open on both sides while the cable is unplugged, as on a real network. */
  async plug(cableIn: boolean): Promise<void> {
    const link = ['link', 'set', card, 'carrier', cableIn ? 'on' : 'off'];
    await promisify(execFile)('nsenter', ['-t', String(this.#pid), '-n', 'ip', ...link]);
  }

  async end(): Promise<void> {
    this.#slirp.kill('SIGKILL');
    await this.#slirp.ended;
  }

  /** One request of slirp4netns(1), "API SOCKET": each has a connection of its own. */
  async #ask(request: object): Promise<void> {
    const socket = await connectSocket(this.#socket, () => {
      if (!this.#slirp.running) throw new Error(this.#slirp.complaint);
    });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = new Promise<void>((done, fail) => socket.once('end', done).once('error', fail));
    socket.end(JSON.stringify(request));
    await closed;
    const answer = JSON.parse(Buffer.concat(chunks).toString()) as { error?: { desc?: string } };
    if (answer.error !== undefined)
      throw new Error(`slirp4netns refused ${JSON.stringify(request)}: ${answer.error.desc ?? 'no reason'}`);
  }
}
