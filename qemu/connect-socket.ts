import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Connects to a Unix socket that another program is about to open. It retries while the socket
 * does not exist yet or refuses connections.
 * @param stillComing called before each retry; throws when the other program has ended
 */
export async function connectSocket(
  path: string,
  stillComing: () => void,
  timeoutMs = 120_000,
): Promise<Socket> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const socket = connect(path);
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      socket.removeAllListeners('error');
      return socket;
    } catch (error) {
      socket.destroy();
      const { code } = error as NodeJS.ErrnoException;
      if ((code !== 'ENOENT' && code !== 'ECONNREFUSED') || performance.now() > end) throw error;
    }
    stillComing();
    await sleep(20);
  }
}
