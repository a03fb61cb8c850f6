import { describe, expect, it } from 'vitest';

import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { SecondReading } from '../../../src/image/tar/second-reading.ts';
import { type Doubtful, TarFraming } from '../../../src/image/tar/tar-framing.ts';
import { directory, file, pax, plain, type RawEntry, tar } from '../../support/raw-tar.ts';

function firstReading(bytes: Buffer): Doubtful {
  const framing = new TarFraming(defaultArchiveLimits);
  framing.push(bytes);
  return framing.takeDoubtful();
}

/** Compares the library's reading of one tar with the first reading of another. */
async function compare(read: readonly RawEntry[], first: readonly RawEntry[]): Promise<void> {
  const library = new SecondReading();
  try {
    const { bytes } = firstReading(tar(...read));
    const { entries } = firstReading(tar(...first));
    await library.agree({ bytes, entries });
    await library.end();
  } finally {
    library.close();
  }
}

describe('two readings of a tar', () => {
  const link: RawEntry = { name: 'b', type: '1', linkname: 'a' };
  const same = [directory('d'), file('a', 'x'.repeat(700)), link];

  it('agree on the same tar', async () => {
    await expect(compare(same, same)).resolves.toBeUndefined();
  });

  it('agree on any number of entries without a body at once', async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => file(`f${index}`, ''));
    await expect(compare(many, many)).resolves.toBeUndefined();
  });

  it.each<[string, RawEntry[]]>([
    ['a name', [directory('d'), file('c', 'x'.repeat(700)), link]],
    ['a size', [directory('d'), file('a', 'x'.repeat(701)), link]],
    ['a type', [directory('d'), file('a', 'x'.repeat(700)), { ...link, type: '2' }]],
    ['the target of a link', [directory('d'), file('a', 'x'.repeat(700)), { ...link, linkname: 'd' }]],
    ['a position', [directory('d'), pax({ comment: 'x' }), file('a', 'x'.repeat(700)), link]],
    ['an entry less', [directory('d'), file('a', 'x'.repeat(700))]],
    ['an entry more', [...same, file('c')]],
  ])('differ by %s', async (_, first) => {
    await expect(compare(same, first)).rejects.toMatchObject({
      code: 'archive-malformed',
      message: expect.stringContaining('can be read in two ways') as string,
    });
  });

  it('fail together with the library', async () => {
    const library = new SecondReading();
    await expect(library.agree({ bytes: [Buffer.alloc(512, 1)], entries: [] })).rejects.toMatchObject({
      code: 'archive-malformed',
      message: 'the tar library cannot read the archive',
    });
    library.close();
  });

  it('fail where the library finds the tar cut off', async () => {
    const library = new SecondReading();
    await library.agree(firstReading(tar(...same).subarray(0, 1200)));
    await expect(library.end()).rejects.toMatchObject({ code: 'archive-malformed' });
  });

  it.each([1, 511, 512, 700, 1_000_000])('pass over plain entries, in pieces of %i bytes', async (size) => {
    const [a, b, d] = [file('a', 'x'.repeat(700)), file('b'), file('d', 'y'.repeat(600))];
    const bytes = tar(plain(a), d, pax({ comment: 'x' }), plain(b), plain(link));
    const framing = new TarFraming(defaultArchiveLimits);
    const library = new SecondReading();
    const names: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      framing.push(bytes.subarray(at, at + size));
      const read = framing.takeDoubtful();
      names.push(...read.entries.map(({ entry }) => entry.name));
      await library.agree(read);
    }
    await library.end();
    library.close();
    expect(names).toEqual(['d', 'b']);
  });
});
