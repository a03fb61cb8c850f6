import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { Refusal } from '../../core/refusal/index.ts';

export interface ObjectBuilder {
  /** Receives the tar. */
  readonly tar: Writable;
  /**
   * Resolves when the object is complete (not yet synced).
   *
   * @throws Refusal `no-space`, `image-build-failed`, or `device-unsupported` when the builder
   *   cannot be started
   */
  finished(): Promise<void>;
  /** Kills the builder and waits for its end. */
  kill(): Promise<void>;
}

export interface ObjectBuilderOptions {
  /** The program: `mkfs.erofs`, erofs-utils ≥ 1.8. */
  readonly command: string;
  /** The path of the object, which must not exist yet. */
  readonly path: string;
  readonly compression: 'none' | 'lz4';
}

/** How much of the builder's output is kept. */
const maxSaidBytes = 2048;

/**
 * Options of `mkfs.erofs` (its manual page, version 1.8.6). Without compression, each file is
 * written straight to its final place, which `--sort=none` does only together with
 * `-E^inline_data`; else every byte is written twice.
 */
function builderArguments({ path, compression }: ObjectBuilderOptions): string[] {
  const layout = compression === 'lz4' ? ['-zlz4'] : ['--sort=none', '-E^inline_data'];
  // The same tar gives the same object: no random UUID, a fixed build time; files keep their times.
  // Blocks of 4 KiB, whatever the page size.
  return ['--quiet', '--tar=f', ...layout, '-b4096', '-Uclear', '-T0', '--mkfs-time', path];
}

/** Starts the builder of an object from a tar. */
export function startObjectBuilder(options: ObjectBuilderOptions): ObjectBuilder {
  const child = spawn(options.command, builderArguments(options), {
    stdio: ['pipe', 'ignore', 'pipe'],
    // Its temporary files are written beside the object, not to memory.
    env: { PATH: process.env['PATH'], TMPDIR: dirname(options.path), LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said = (said + text).slice(0, maxSaidBytes);
  });
  // The writer reports a broken pipe; here it would only be an unhandled event.
  child.stdin.on('error', () => undefined);

  const ended = new Promise<Refusal | undefined>((resolve) => {
    child.once('error', (cause) => {
      resolve(
        new Refusal(
          'device-unsupported',
          `${options.command} cannot be started; install erofs-utils 1.8 or later`,
          { cause },
        ),
      );
    });
    child.once('close', (status, signal) => resolve(judge(status, signal, said.trim())));
  });

  return {
    tar: child.stdin,
    finished: async () => {
      const refusal = await ended;
      if (refusal !== undefined) throw refusal;
    },
    kill: async () => {
      // Version 1.8 loops endlessly when its input ends within a file, so closing the pipe is not
      // enough.
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/**
 * Judges how the builder ended. Version 1.8 reports a failed write and continues, so any reported
 * error is a failure.
 */
function judge(status: number | null, signal: NodeJS.Signals | null, said: string): Refusal | undefined {
  if (said.includes('No space left on device')) {
    return new Refusal('no-space', 'the disk became full while the image object was written');
  }
  if (status === 0 && !said.includes('<E>')) return undefined;
  const end = signal === null ? `ended with status ${String(status)}` : `was ended by ${signal}`;
  return new Refusal('image-build-failed', `mkfs.erofs ${end}${said === '' ? '' : `: ${said}`}`);
}
