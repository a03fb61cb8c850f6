import { open, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { decodeCbor, encodeCbor, map, optional, readFields, text } from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Source } from './download.ts';

const readBytes = 256 * 1024;
const sourceFields = map({ url: text(4096), validator: optional(text(512)) });

/**
 * The received part of a download, on the disk, so that it survives a cut connection, a restart or
 * a reboot. Nothing is synced: a power cut may truncate it or leave other bytes in it, which the
 * signature detects.
 */
export class PartialFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #sizeBytes: number;
  #source: Source | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, handle: FileHandle, sizeBytes: number, source: Source | undefined) {
    this.#path = path;
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
    this.#source = source;
  }

  /** Opens the download in `directory`, or begins it. */
  static async open(directory: string): Promise<PartialFile> {
    const path = `${directory}/download`;
    const handle = await open(path, 'a+', 0o600);
    const { size } = await handle.stat();
    return new PartialFile(path, handle, size, await readSource(`${path}.meta`));
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The source of the bytes, if known. */
  get source(): Source | undefined {
    return this.#source;
  }

  /** The stored bytes, from the beginning. */
  async *read(): AsyncGenerator<Buffer, void, undefined> {
    for (let at = 0; at < this.#sizeBytes;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, this.#sizeBytes - at));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error(`${this.#path} became shorter while it was read`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /**
   * Appends in the background: returns when the previous chunk is written, so that the disk and the
   * caller work at the same time.
   *
   * @throws Refusal `no-space`
   */
  async append(chunk: Buffer): Promise<void> {
    await this.#writing;
    this.#writing = this.#write(chunk);
    this.#writing.catch(() => undefined); // reported by the next append or by `settled`
    this.#sizeBytes += chunk.length;
  }

  /** Resolves when everything appended has been handed to the disk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Stores the source of the bytes from here on. */
  async remember(source: Source): Promise<void> {
    this.#source = source;
    const temporary = `${this.#path}.meta.new`;
    await writeFile(temporary, encodeCbor(source), { mode: 0o600 });
    await rename(temporary, `${this.#path}.meta`);
  }

  /** Forgets all bytes. */
  async restart(): Promise<void> {
    await this.#writing.catch(() => undefined); // what it would have written is forgotten too
    await this.#handle.truncate(0);
    this.#sizeBytes = 0;
    this.#source = undefined;
    this.#writing = Promise.resolve();
    await rm(`${this.#path}.meta`, { force: true });
  }

  /** Closes the file; with `remove`, nothing is left of it. */
  async close(options: { remove: boolean }): Promise<void> {
    await this.#writing.catch(() => undefined); // the caller has either settled or given up
    await this.#handle.close();
    if (!options.remove) return;
    await rm(this.#path, { force: true });
    await rm(`${this.#path}.meta`, { force: true });
  }

  async #write(chunk: Buffer): Promise<void> {
    try {
      for (let at = 0; at < chunk.length;) {
        at += (await this.#handle.write(chunk, at, chunk.length - at)).bytesWritten;
      }
    } catch (error) {
      throw asNoSpace(error, 'the download');
    }
  }
}

/** Turns «the disk is full» into a refusal. */
export function asNoSpace(error: unknown, what: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new Refusal('no-space', `the disk became full while ${what} was written`, { cause: error });
}

/** Undefined for a missing or damaged file: the download then continues without a validator. */
async function readSource(path: string): Promise<Source | undefined> {
  try {
    const handle = await open(path, 'r');
    try {
      const value = decodeCbor(await handle.readFile(), { maxBytes: 8192, maxDepth: 1 });
      return readFields(value, sourceFields, 'download.meta');
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}
