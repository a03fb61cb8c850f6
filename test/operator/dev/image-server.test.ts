import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRange } from '../../../src/operator/dev/byte-range.ts';
import { startImageServer, type Access, type ImageServer } from '../../../src/operator/dev/image-server.ts';
import { until } from '../../support/system-clock.ts';

let directory: string;
let server: ImageServer;
const log: Access[] = [];
const content = Buffer.from('0123456789abcdef');

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-images-'));
  await mkdir(join(directory, 'images/folder'), { recursive: true });
  await writeFile(join(directory, 'secret'), 'private key');
  await writeFile(join(directory, 'images/a.aci'), content);
  await writeFile(join(directory, 'images/empty'), '');
  await writeFile(join(directory, 'images/.hidden'), 'hidden');
  await symlink('../secret', join(directory, 'images/link'));
  server = await startImageServer({
    directory: join(directory, 'images'),
    host: '127.0.0.1',
    port: 0,
    onAccess: (access) => log.push(access),
  });
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, { headers });

/** The status for a path that is sent unchanged; `fetch` would normalise it first. */
async function rawStatus(path: string, method = 'GET'): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server.port, path, method }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on('error', reject).end();
  });
}

describe('the image server', () => {
  it('sends a file with its size and a strong entity tag', async () => {
    const answer = await get('/a.aci');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe('16');
    expect(answer.headers.get('accept-ranges')).toBe('bytes');
    expect(answer.headers.get('etag')).toMatch(/^"[^"]+"$/);
    expect(await answer.text()).toBe(content.toString());
  });

  it('sends the rest of a file when a download is resumed', async () => {
    const etag = (await get('/a.aci')).headers.get('etag') ?? '';
    const answer = await get('/a.aci', { range: 'bytes=10-', 'if-range': etag });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe('bytes 10-15/16');
    expect(await answer.text()).toBe('abcdef');
  });

  it('sends the whole file when it has changed', async () => {
    const old = (await get('/a.aci')).headers.get('etag') ?? '';
    await writeFile(join(directory, 'new'), content);
    await rename(join(directory, 'new'), join(directory, 'images/a.aci'));
    const answer = await get('/a.aci', { range: 'bytes=10-', 'if-range': old });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toHaveLength(16);
  });

  it('answers 304 for an unchanged file and 416 for bytes past the end', async () => {
    const etag = (await get('/a.aci')).headers.get('etag') ?? '';
    expect((await get('/a.aci', { 'if-none-match': etag })).status).toBe(304);
    const answer = await get('/a.aci', { range: 'bytes=16-' });
    expect(answer.status).toBe(416);
    expect(answer.headers.get('content-range')).toBe('bytes */16');
  });

  it('answers HEAD without a body, and an empty file', async () => {
    const answer = await fetch(`${server.url}/a.aci`, { method: 'HEAD' });
    expect(answer.headers.get('content-length')).toBe('16');
    expect(await answer.text()).toBe('');
    expect(await (await get('/empty')).text()).toBe('');
  });

  it.each([
    '/../secret',
    '/%2e%2e/secret',
    '/folder/../../secret',
    '/..%2fsecret',
    '/..%5csecret',
    '/link',
    '/.hidden',
    '/folder',
    '/',
    '//a.aci',
    '/a.aci%00',
    '/%',
    '/missing',
    'http://elsewhere/a.aci',
  ])('has nothing at %s', async (path) => {
    expect(await rawStatus(path)).toBe(404);
  });

  it('refuses uploads', async () => {
    expect(await rawStatus('/a.aci', 'PUT')).toBe(405);
  });

  it('reports each request', async () => {
    log.length = 0;
    await (await get('/a.aci', { range: 'bytes=4-' })).text();
    await until(() => log.length === 1);
    expect(log[0]).toMatchObject({
      method: 'GET',
      path: '/a.aci',
      status: 206,
      start: 4,
      sentBytes: 12,
      complete: true,
    });
  });

  it('reports a port that is in use, with what to do', async () => {
    const again = startImageServer({ directory, host: '127.0.0.1', port: server.port });
    await expect(again).rejects.toThrow(/cannot listen on .*choose another port/);
  });
});

describe('a Range header (RFC 9110 §14.1.2)', () => {
  it.each<[string | undefined, number, ReturnType<typeof parseRange>]>([
    [undefined, 10, 'whole'],
    ['bytes=0-', 10, { start: 0, end: 9 }],
    ['bytes=2-4', 10, { start: 2, end: 4 }],
    ['bytes=2-99', 10, { start: 2, end: 9 }],
    ['bytes=-3', 10, { start: 7, end: 9 }],
    ['bytes=-99', 10, { start: 0, end: 9 }],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=4-2', 10, 'whole'],
    ['bytes=0-1,3-4', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['lines=0-1', 10, 'whole'],
    ['bytes=1x-', 10, 'whole'],
  ])('%s of %i bytes', (header, sizeBytes, expected) => {
    expect(parseRange(header, sizeBytes)).toEqual(expected);
  });
});
