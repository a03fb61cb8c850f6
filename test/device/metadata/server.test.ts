import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAcIdentifier, parseImageManifest, parsePodManifest } from '../../../src/image/appc/index.ts';
import { metadataServer } from '../../../src/device/metadata/metadata-server.ts';
import {
  metadataDocument,
  metadataUrl,
  readMetadata,
  wantsMetadata,
} from '../../../src/device/metadata/index.ts';
import { demoImage, demoUuid, imageId } from '../pod/demo.ts';

const key = Buffer.alloc(64, 7);
const annotations = (...pairs: [string, string][]) => pairs.map(([name, value]) => ({ name, value }));
const podBytes = Buffer.from(
  JSON.stringify({
    acVersion: '0.8.11',
    acKind: 'PodManifest',
    apps: [
      {
        name: 'web',
        image: { id: imageId },
        app: { exec: ['/bin/app'], user: '0', group: '0' },
        annotations: annotations(['example.com/a', 'of the pod'], ['example.com/b', 'added']),
      },
    ],
    annotations: annotations(['wherry/metadata', 'true']),
  }),
);
const imageBytes = Buffer.from(
  JSON.stringify({
    ...{ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/demo' },
    annotations: annotations(['example.com/a', 'of the image'], ['example.com/c', 'kept']),
  }),
);

/**
 * A real server on a port of its own. The rows are the table of
 * ace.md#app-container-metadata-service.
 */
describe('the metadata service', () => {
  let server: ReturnType<typeof metadataServer>;
  let base: string;
  let mounted = true;
  beforeAll(async () => {
    const manifest = parsePodManifest(podBytes);
    const images = new Map([[imageId, { ...demoImage, manifest: parseImageManifest(imageBytes) }]]);
    const document = Buffer.from(metadataDocument(podBytes, manifest, images));
    server = metadataServer({
      key,
      pod: (uuid) => Promise.resolve(uuid === demoUuid ? readMetadata(document) : undefined),
      imageManifest: (object) => Promise.resolve(mounted && object === imageId ? imageBytes : undefined),
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = new URL(metadataUrl(key, demoUuid));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}${url.pathname}`;
  });
  afterAll(() => server.close());

  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${base}${path}`, init);
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      body: await response.text(),
    };
  };
  const post = (path: string, form: Record<string, string>) =>
    ask(path, { method: 'POST', body: new URLSearchParams(form) });
  const json = 'application/json';
  const text = 'text/plain; charset=us-ascii';

  it.each([
    ['pod/annotations', json, JSON.stringify(annotations(['wherry/metadata', 'true']))],
    ['pod/manifest', json, podBytes.toString()],
    ['pod/uuid', text, demoUuid],
    [
      'apps/web/annotations',
      json,
      JSON.stringify(
        annotations(['example.com/c', 'kept'], ['example.com/a', 'of the pod'], ['example.com/b', 'added']),
      ),
    ],
    ['apps/web/image/manifest', json, imageBytes.toString()],
    ['apps/web/image/id', text, imageId],
  ])('answers %s with its exact type and no newline [A15.1]', async (path, type, body) => {
    expect(await ask(`/acMetadata/v1/${path}`)).toEqual({ status: 200, type, body });
  });

  it('signs for a pod, and confirms only what it signed [A15.2]', async () => {
    const signed = await post('/acMetadata/v1/pod/hmac/sign', { content: 'a&b=c ü' });
    expect(signed).toMatchObject({ status: 200, type: text });
    const form = { content: 'a&b=c ü', uuid: demoUuid, signature: signed.body };
    expect((await post('/acMetadata/v1/pod/hmac/verify', form)).status).toBe(200);
    expect((await post('/acMetadata/v1/pod/hmac/verify', { ...form, content: 'other' })).status).toBe(403);
    expect((await post('/acMetadata/v1/pod/hmac/verify', { ...form, signature: 'none' })).status).toBe(403);
    expect((await post('/acMetadata/v1/pod/hmac/verify', { ...form, uuid: 'none' })).status).toBe(403);
  });

  it.each([
    ['/acMetadata/v1/pod/none', 404],
    ['/acMetadata/v1/apps/none/image/id', 404],
    ['/acMetadata/v1/apps/__proto__/image/id', 404],
    ['/acMetadata/v1/apps/web/none', 404],
    ['/acMetadata/v2/pod/uuid', 404],
    ['0/acMetadata/v1/pod/uuid', 401],
    ['/acMetadata/v1/pod/hmac/sign', 405],
  ])('answers %s after the token with %i', async (path, status) => {
    expect((await ask(path)).status).toBe(status);
  });

  it('accepts POST for signatures only, as a form of at most 64 KiB with all fields', async () => {
    expect((await post('/acMetadata/v1/pod/uuid', {})).status).toBe(405);
    expect((await post('/acMetadata/v1/pod/hmac/sign', {})).status).toBe(400);
    expect((await post('/acMetadata/v1/pod/hmac/verify', { content: '' })).status).toBe(400);
    expect((await post('/acMetadata/v1/pod/hmac/none', { content: '' })).status).toBe(404);
    const sign = '/acMetadata/v1/pod/hmac/sign';
    expect((await ask(sign, { method: 'POST', body: 'content=x' })).status).toBe(415);
    expect((await post(sign, { content: 'x'.repeat(64 << 10) })).status).toBe(413);
  });

  it('reports an app whose image is not mounted', async () => {
    mounted = false;
    expect((await ask('/acMetadata/v1/apps/web/image/manifest')).status).toBe(503);
    mounted = true;
  });
});

describe('the annotation wherry/metadata', () => {
  const wants = (value?: string) =>
    wantsMetadata('demo', {
      ...parsePodManifest(podBytes),
      annotations: value === undefined ? [] : [{ name: parseAcIdentifier('wherry/metadata'), value }],
    });

  it('requests the service with "true"; a pod without it has none', () => {
    expect([wants('true'), wants('false'), wants()]).toEqual([true, false, false]);
  });

  it('accepts no other value', () => {
    expect(() => wants('yes')).toThrow(
      'pod demo: annotation wherry/metadata: expected "true" or "false", found "yes"',
    );
  });
});
