import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { readMetaTags } from '../../../src/operator/discovery/meta-tags.ts';

const tag = (content: string) => `<meta name="ac-discovery" content="${content}">`;

it('the tags of a page are read whatever its parts are', async () => {
  const bytes = [...Buffer.from(tag('ä'))].map((byte) => Buffer.from([byte]));
  expect(await readMetaTags(Readable.from(bytes), 1000)).toEqual([{ name: 'ac-discovery', content: 'ä' }]);
});

it('at most 256 tags of a page are read', async () => {
  const page = Array.from({ length: 300 }, (_, index) => tag(String(index))).join('');
  const tags = await readMetaTags(Readable.from([Buffer.from(page)]), 1 << 20);
  expect(tags.map(({ content }) => content)).toEqual(Array.from({ length: 256 }, (_, index) => `${index}`));
});

it('a page is read up to the limit', async () => {
  const page = Buffer.from(tag('a') + tag('b'));
  const first = tag('a').length;
  expect(await readMetaTags(Readable.from([page]), first)).toHaveLength(1);
  expect(await readMetaTags(Readable.from([page]), page.length)).toHaveLength(2);
});
