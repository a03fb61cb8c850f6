import { open } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';
import { asBuffer } from '../../image/aci/index.ts';
import { quoted, type TarWriter } from '../../image/tar/index.ts';
import type { SourceEntry } from '../../image/tree/index.ts';

/** Bytes read from a file at a time. */
const CHUNK = 128 * 1024;

/**
 * Writes an entry with its body.
 *
 * Refuses with `input-invalid` a file whose length differs from the entry's size.
 */
export async function writeEntry(writer: TarWriter, entry: SourceEntry): Promise<void> {
  await writer.entry(entry);
  const { content } = entry;
  if (content === undefined || entry.sizeBytes === 0) return;
  if ('bytes' in content) await writer.body(asBuffer(content.bytes));
  else await writeFileBody(writer, content.file, entry.sizeBytes, content.offset);
}

async function writeFileBody(
  writer: TarWriter,
  path: string,
  sizeBytes: number,
  offset?: number,
): Promise<void> {
  const file = await open(path, 'r');
  try {
    for (let done = 0; done < sizeBytes;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, sizeBytes - done)); // the sink may keep it, so each chunk has its own
      const { bytesRead } = await file.read(buffer, 0, buffer.length, (offset ?? 0) + done);
      if (bytesRead === 0) throw changed(path);
      await writer.body(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
    if (offset !== undefined) return;
    if ((await file.read(Buffer.alloc(1), 0, 1, sizeBytes)).bytesRead > 0) throw changed(path);
  } finally {
    await file.close();
  }
}

function changed(path: string): Refusal {
  return new Refusal('input-invalid', `the file ${quoted(path)} changed while it was read`);
}
