import { createReadStream } from 'node:fs';
import { asLocalRefusal } from '../../core/refusal/index.ts';

/**
 * The bytes of a file that a command reads. An error of the disk is a refusal that names this file,
 * before a caller takes it for an error of the file that is written.
 */
export async function* readInput(path: string): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of createReadStream(path)) yield chunk as Buffer;
  } catch (error) {
    throw asLocalRefusal(error, path);
  }
}
