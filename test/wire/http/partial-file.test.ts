import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PartialFile } from '../../../src/wire/http/index.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-partial-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const source = { url: 'https://images.example.com/web.aci', validator: '"v1"' };

describe('the received part of a download', () => {
  it('is there with its source when it is opened again, and after a restart neither is', async () => {
    const first = await PartialFile.open(directory);
    await first.remember(source);
    await first.append(Buffer.from('some bytes'));
    await first.close({ remove: false });
    const again = await PartialFile.open(directory);
    expect([again.sizeBytes, again.source]).toEqual([10, source]);
    await again.restart();
    expect([again.sizeBytes, again.source]).toEqual([0, undefined]);
    await again.close({ remove: false });
    const last = await PartialFile.open(directory);
    expect([last.sizeBytes, last.source]).toEqual([0, undefined]);
    await last.close({ remove: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is closed and removed although the disk became full', async () => {
    symlinkSync('/dev/full', join(directory, 'download'));
    const partial = await PartialFile.open(directory);
    await partial.append(Buffer.from('some bytes'));
    await expect(partial.settled()).rejects.toMatchObject({ code: 'no-space' });
    await partial.close({ remove: true });
    expect(readdirSync(directory)).toEqual([]);
  });
});
