import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Credentials } from '../../../src/wire/http/credentials.ts';
import { openHttpClient } from '../../../src/wire/http/http-client.ts';
import { type ConvertedImage, fromOci, type FromOciOptions } from '../../../src/operator/oci/from-oci.ts';
import { file, tar } from '../../support/raw-tar.ts';
import type { Clock } from '../../../src/core/ports/index.ts';
import { wherry } from '../../support/recording-terminal.ts';
import { loopbackCertificate } from '../../support/loopback-certificate.ts';
import { serve, TestClock, type TestServer } from '../../support/test-server.ts';
import { startTinyProxy, type TinyProxy } from '../../support/tinyproxy.ts';
import { digestOf, type MadeImage, madeImage } from './made-image.ts';
import { systemClock } from '../../support/system-clock.ts';
import { registryAccess } from './registry-access.ts';

const plain = tar(file('a', 'content'));
const basic = `Basic ${Buffer.from('user:secret').toString('base64')}`;
const credentials = { user: 'user', password: 'secret' };

let directory: string;
let servers: TestServer[];
/** The delays in milliseconds. The clock always shows noon. */
let waits: number[];
const clock = {
  nowMs: () => Date.UTC(2026, 0, 1, 12),
  sleep: (delayMs: number) => {
    waits.push(delayMs);
    return Promise.resolve();
  },
};
const at = (...names: string[]): string => join(directory, ...names);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-registry-'));
  mkdirSync(at('out'));
  servers = [];
  waits = [];
});
afterEach(async () => {
  for (const server of servers) await server.close();
  rmSync(directory, { recursive: true });
});

type Step = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A registry on loopback with `team/app:1`. `first` may answer instead. */
async function registry(first: Step = () => false, image: MadeImage = madeImage(plain)): Promise<string> {
  const server = await serve((request, response) => {
    if (!first(request, response)) answer(image, request, response);
  });
  servers.push(server);
  return server.url.slice('http://'.length);
}

function answer(image: MadeImage, request: IncomingMessage, response: ServerResponse): void {
  const [, kind, reference = ''] = /^\/v2\/team\/app\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
  const body =
    kind === 'manifests' && reference === '1'
      ? Buffer.from(JSON.stringify(image.index))
      : image.blobs.get(reference);
  if (body === undefined) response.writeHead(404).end();
  else response.end(body);
}

async function other(handler: RequestListener): Promise<string> {
  const server = await serve(handler);
  servers.push(server);
  return server.url;
}

const convert = (
  source: string,
  registryOptions: Partial<FromOciOptions['registry']> = {},
): Promise<ConvertedImage> =>
  fromOci({
    source,
    output: at('out/app.aci'),
    compression: 'gzip',
    name: 'example.com/app',
    labels: [],
    registry: { ...registryAccess, clock, ...registryOptions },
    onLayer: () => undefined,
  });

async function expectRefused(
  source: string,
  code: string,
  rule: RegExp,
  options: Partial<FromOciOptions['registry']> = {},
): Promise<void> {
  const error = await convert(source, options).then(
    () => undefined,
    (reason: unknown) => reason as Error,
  );
  expect(error).toMatchObject({ name: 'Refusal', code });
  expect(error?.message).toMatch(rule);
  expect(error?.message).toMatch(/^docker:\/\/127\.0\.0\.1:\d+\/team\/app[:@]/);
  expect(readdirSync(at('out'))).toEqual([]);
}

const isBlob = ({ url = '' }: IncomingMessage): boolean => url.endsWith(digestOf(plain));

describe('a registry that does not return an image', () => {
  const credentials = { user: 'fleet', password: 's3cret' };

  it.each([
    [403, {}, /answered 403 to \/manifests\/1; it may require an account, see --credentials$/],
    [403, { credentials }, /answered 403 .*; the account of --credentials may not have this image$/],
    [503, {}, /answered 503 to \/manifests\/1; try again later$/],
  ])('is told by its status %i and by what was sent', async (status, options, rule) => {
    const refusing: Step = (_request, response) => {
      response.writeHead(status).end();
      return true;
    };
    await expectRefused(`docker://${await registry(refusing)}/team/app:1`, 'download-failed', rule, options);
  });
});

describe('a registry that allows only so many requests (429, Retry-After)', () => {
  const busy = (times: number, retryAfter?: string): Step => {
    let left = times;
    return (request, response) => {
      if (!isBlob(request) || left-- <= 0) return false;
      response.writeHead(429, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end('later');
      return true;
    };
  };

  it.each<[string, string | undefined, number, number[]]>([
    ['after the seconds that it gives', '7', 2, [7000, 7000]],
    ['at the time that it gives', 'Thu, 01 Jan 2026 12:00:30 GMT', 1, [30_000]],
    ['at once for a time that is past', 'Thu, 01 Jan 2026 11:00:00 GMT', 1, [0]],
    ['after growing waits when it gives none', undefined, 3, [1000, 2000, 4000]],
    ['after a wait of its own for an unreadable one', 'soon', 1, [1000]],
  ])('is retried %s', async (_what, retryAfter, times, expected) => {
    const told: number[] = [];
    await convert(`docker://${await registry(busy(times, retryAfter))}/team/app:1`, {
      onWait: (delayMs) => told.push(delayMs),
    });
    expect(waits).toEqual(expected);
    expect(told).toEqual(expected);
  });

  it('is abandoned after five tries, and at once for a wait above two minutes', async () => {
    await expectRefused(
      `docker://${await registry(busy(Infinity, '1'))}/team/app:1`,
      'download-failed',
      /answered 429 .*; it allows no more requests for now/,
    );
    expect(waits).toHaveLength(5);
    await expectRefused(
      `docker://${await registry(busy(1, '3600'))}/team/app:1`,
      'download-failed',
      /allows no more requests for 3600 s/,
    );
    expect(waits).toHaveLength(5);
  });
});

describe('an image whose repository is not a valid image name', () => {
  it('[A2.3] is refused with the nearest valid name, before a request to the registry', async () => {
    const unnamed = fromOci({
      source: 'docker://registry.example/team__one/app:1',
      output: at('out/app.aci'),
      compression: 'gzip',
      labels: [],
      registry: registryAccess,
      onLayer: () => undefined,
    });
    await expect(unnamed).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/give a --name such as registry\.example\/team_one\/app$/) as string,
    });
  });
});

describe('a registry that redirects', () => {
  const to =
    (location: string | (() => string)): Step =>
    (request, response) => {
      if (!isBlob(request)) return false;
      response.writeHead(307, { location: typeof location === 'string' ? location : location() }).end();
      return true;
    };
  const guarded =
    (then: Step): Step =>
    (request, response) => {
      if (request.headers.authorization !== basic) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      }
      return then(request, response);
    };

  it('to another host gets the blob from there, without credentials', async () => {
    const seen: (string | undefined)[] = [];
    const storage = await other(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end(plain);
    });
    await convert(`docker://${await registry(guarded(to(`${storage}/blob?signature=1`)))}/team/app:1`, {
      credentials,
    });
    expect(seen).toEqual([undefined]);
  });

  it('to another host that requires a login sends no credentials', async () => {
    const seen: (string | undefined)[] = [];
    const storage = await other(({ headers }, response) => {
      seen.push(headers.authorization);
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const source = `docker://${await registry(guarded(to(storage)))}/team/app:1`;
    await expectRefused(source, 'download-failed', /answered 401/, { credentials });
    expect(seen).toEqual([undefined]);
  });

  it('within itself gets the credentials again', async () => {
    const moved: Step = (request, response) => {
      if (request.url !== '/moved') return to('/moved')(request, response);
      response.end(plain);
      return true;
    };
    await convert(`docker://${await registry(guarded(moved))}/team/app:1`, { credentials });
  });

  it.each([
    ['without end', () => to(`/v2/team/app/blobs/${digestOf(plain)}`), /redirects more than 5 times/],
    ['to a file', () => to('file:///etc/passwd'), /redirects to file:\/\/, which is not followed/],
    [
      'to another scheme',
      () => to('ftp://127.0.0.1/x'),
      /redirects to ftp:\/\/127\.0\.0\.1, which is not followed/,
    ],
    [
      'to an address with a password',
      () => to('http://a:b@127.0.0.1:1/x'),
      /redirects to http:\/\/127\.0\.0\.1:1, which is not followed/,
    ],
    [
      'to something that is not an address',
      () => to('http://['),
      /redirects to something that is not an address/,
    ],
    ['to where nobody is', () => to('http://127.0.0.1:1/x'), /127\.0\.0\.1:1\/x cannot be reached: /],
  ])('%s is refused', async (_what, step, rule) => {
    await expectRefused(`docker://${await registry(step())}/team/app:1`, 'download-failed', rule);
  });

  it('from https to http is refused, and over https accepted', async () => {
    const image = madeImage(plain);
    const tls = loopbackCertificate();
    const redirects: string[] = [];
    const storage = await other((_request, response) => void response.end(plain));
    const server = await serve((request, response) => {
      const [location] = redirects;
      if (location !== undefined && isBlob(request)) response.writeHead(302, { location }).end();
      else answer(image, request, response);
    }, tls);
    servers.push(server);
    writeFileSync(at('cert.pem'), tls.cert);
    // Certificates are set per process, so another process sends the request.
    const ask = async () => {
      const args = [
        '--import',
        'tsx',
        resolve('src/cli/wherry.ts'),
        'image',
        'from-oci',
        server.url.replace('https', 'docker').concat('/team/app:1'),
      ];
      const child = spawn(process.execPath, [...args, '--name', 'example.com/app', '-o', at('out/app.aci')], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: at('cert.pem') },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let err = '';
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      const [status] = (await once(child, 'close')) as [number];
      return { status, err };
    };
    expect(await ask()).toMatchObject({ status: 0 });
    redirects.push(`${storage}/blob`);
    expect(await ask()).toMatchObject({
      status: 69,
      err: expect.stringMatching(
        /redirects to http:\/\/127\.0\.0\.1:\d+, which is not followed \(download-failed\)/,
      ) as string,
    });
  });
});

describe('a registry behind a proxy (tinyproxy)', () => {
  let proxy: TinyProxy;
  beforeEach(async () => {
    proxy = await startTinyProxy(['BasicAuth fleet s3cret']);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await proxy.stop();
  });
  const fromOciBy = (host: string) =>
    wherry([
      ...['image', 'from-oci', `docker://${host}/team/app:1`, '--plain-http'],
      ...['--name', 'example.com/app', '-o', at('out/app.aci')],
    ]);

  it('is reached through the proxy of the environment, and so is a redirect', async () => {
    const storage = await other((_request, response) => void response.end(plain));
    const host = await registry((request, response) => {
      if (isBlob(request)) response.writeHead(307, { location: `${storage}/blob` }).end();
      return isBlob(request);
    });
    vi.stubEnv('HTTP_PROXY', `http://fleet:s3cret@${proxy.name}`);
    expect(await fromOciBy(host)).toMatchObject({ status: 0 });
    await proxy.stop();
    expect(proxy.requests[0]).toBe(`GET http://${host}/v2/team/app/manifests/1 HTTP/1.1`);
    expect(proxy.requests.at(-1)).toBe(`GET ${storage}/blob HTTP/1.1`);
  });

  it('is reached directly if NO_PROXY names it', async () => {
    vi.stubEnv('HTTP_PROXY', `http://fleet:s3cret@${proxy.name}`);
    vi.stubEnv('NO_PROXY', 'registry.example,127.0.0.1');
    expect(await fromOciBy(await registry())).toMatchObject({ status: 0 });
    await proxy.stop();
    expect(proxy.requests).toEqual([]);
  });

  it('is not reached if the proxy requires credentials, and the message names their place', async () => {
    vi.stubEnv('HTTP_PROXY', `http://${proxy.name}`);
    const { status, err } = await fromOciBy(await registry());
    expect(status).toBe(69);
    expect(err).toContain(
      `through the proxy ${proxy.name} cannot be reached: the proxy answered with status 407: it requires credentials: put them into its address, http://USER:PASSWORD@${proxy.name} (download-failed)`,
    );
  });

  it('is reached over TLS in a tunnel, which does not see its credentials', async () => {
    const tls = loopbackCertificate();
    const image = madeImage(plain);
    const proofs = new Set<string | undefined>();
    const server = await serve((request, response) => {
      proofs.add(request.headers.authorization);
      if (request.headers.authorization === basic) answer(image, request, response);
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    }, tls);
    servers.push(server);
    const http = openHttpClient({
      ...{ clock: new TestClock(), credentials: new Credentials(), ca: tls.cert },
      proxyFor: () => `http://fleet:s3cret@${proxy.name}`,
    });
    const host = new URL(server.url).host;
    await convert(`docker://${host}/team/app:1`, { plainHttp: false, credentials, http });
    http.close();
    await proxy.stop();
    expect([...proofs]).toEqual([undefined, basic]);
    expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT ${host} HTTP/1.1`]));
  });
});

describe('a registry that stops in the middle of a layer', () => {
  it('is abandoned', async () => {
    // Headers have a long timeout, for slow machines.
    const clockOfHeads: Clock = {
      ...systemClock,
      sleep: (_delayMs, signal) => systemClock.sleep(60_000, signal),
    };
    const client = openHttpClient({ clock: clockOfHeads, credentials: new Credentials() });
    const host = await registry((request, response) => {
      if (isBlob(request))
        response.writeHead(200, { 'content-length': plain.length }).write(plain.subarray(0, 100));
      return isBlob(request);
    });
    const http = {
      getOnce: (address: string, headers: object) => client.getOnce(address, { ...headers }, 50),
    };
    const rule = /the connection to 127\.0\.0\.1:\d+ broke/;
    await expectRefused(`docker://${host}/team/app:1`, 'download-failed', rule, { http });
    client.close();
  });
});

describe('a registry whose connection breaks in the middle of a layer', () => {
  const size = plain.length;
  type Part = readonly [status: number, from: number, sends?: number];

  /**
   * Answers for the layer in turn. Each part is cut after `sends` bytes, or complete. Records the
   * requested ranges.
   */
  function inParts(parts: readonly Part[], asked: (string | undefined)[]): Step {
    return (request, response) => {
      if (!isBlob(request)) return false;
      const [status, from, sends] = parts[Math.min(asked.length, parts.length - 1)] ?? [404, 0];
      asked.push(request.headers.range);
      const range = status === 206 ? { 'content-range': `bytes ${from}-${size - 1}/${size}` } : {};
      response.writeHead(status, { 'content-length': size - from, ...range });
      const body = plain.subarray(from, sends === undefined ? size : from + sends);
      if (sends === undefined) response.end(body);
      else response.write(body, () => response.destroy());
      return true;
    };
  }

  it.each<[string, Part[], (string | undefined)[]]>([
    [
      'with the rest',
      [
        [200, 0, 700],
        [206, 700],
      ],
      [undefined, 'bytes=700-'],
    ],
    [
      'twice, and from where the second connection broke',
      [
        [200, 0, 700],
        [206, 700, 100],
        [206, 800],
      ],
      [undefined, 'bytes=700-', 'bytes=800-'],
    ],
    [
      'with the whole layer, of which the beginning is skipped',
      [
        [200, 0, 700],
        [200, 0],
      ],
      [undefined, 'bytes=700-'],
    ],
    [
      'with a part that begins earlier',
      [
        [200, 0, 700],
        [206, 512],
      ],
      [undefined, 'bytes=700-'],
    ],
  ])('continues %s', async (_, parts, ranges) => {
    const whole = await convert(`docker://${await registry()}/team/app:1`);
    rmSync(at('out/app.aci'));
    const asked: (string | undefined)[] = [];
    const continued = await convert(`docker://${await registry(inParts(parts, asked))}/team/app:1`);
    expect(continued.imageId).toBe(whole.imageId);
    expect(asked).toEqual(ranges);
  });

  it('does not join ranges with a gap', async () => {
    const source = await registry(
      inParts(
        [
          [200, 0, 700],
          [206, 900],
        ],
        [],
      ),
    );
    await expectRefused(`docker://${source}/team/app:1`, 'download-failed', /left out bytes/);
  });

  it('is abandoned after five connections', async () => {
    const asked: (string | undefined)[] = [];
    const parts: Part[] = [
      [200, 0, 100],
      [206, 100, 100],
      [206, 200, 100],
      [206, 300, 100],
      [206, 400, 100],
    ];
    const source = await registry(inParts(parts, asked));
    await expectRefused(`docker://${source}/team/app:1`, 'download-failed', /the connection to .* broke/);
    expect(asked).toHaveLength(5);
  });
});

describe('a token', () => {
  it('that expired during a download is requested again', async () => {
    let tokens = 0;
    let self = '';
    let uses = 0;
    const step: Step = ({ url, headers }, response) => {
      if (url?.startsWith('/token') === true) {
        response.end(JSON.stringify({ access_token: `t${++tokens}` }));
        return true;
      }
      if (headers.authorization === `Bearer t${tokens}` && ++uses % 3 !== 0) return false;
      response
        .writeHead(401, { 'www-authenticate': `Bearer realm="http://${self}/token",service="s"` })
        .end();
      return true;
    };
    self = await registry(step);
    await convert(`docker://${self}/team/app:1`);
    expect(tokens).toBeGreaterThan(1);
  });

  it.each([
    ['from nowhere', 'Bearer service="s"', /names no token server/],
    ['from a file', 'Bearer realm="file:///etc/passwd"', /its token server is not used over file:/],
    [
      'from a server that is not there',
      'Bearer realm="http://127.0.0.1:1/token"',
      /its token server: http:\/\/127\.0\.0\.1:1\/token cannot be reached: .*ECONNREFUSED/,
    ],
    ['of another kind', 'Negotiate', /an authentication that is not supported \(negotiate\)/],
    ['without saying how', '', /an authentication that is not supported \(none named\)/],
  ])('%s is refused', async (_what, challenge, rule) => {
    const step: Step = (_request, response) => {
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return true;
    };
    await expectRefused(`docker://${await registry(step)}/team/app:1`, 'download-failed', rule);
  });

  it.each([
    ['is none', '{"token":"a\\nb"}'],
    ['is no JSON', 'token'],
    ['is null', 'null'],
  ])('that %s is refused', async (_what, body) => {
    const tokens = await other((_request, response) => void response.end(body));
    const step: Step = (_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens}"` }).end();
      return true;
    };
    await expectRefused(
      `docker://${await registry(step)}/team/app:1`,
      'download-failed',
      /returned no token/,
    );
  });
});

describe('a registry with wrong answers', () => {
  it('about a blob by its digest is detected', async () => {
    const step: Step = (request, response) => {
      if (isBlob(request)) response.end(tar(file('a', 'CONTENT')));
      return isBlob(request);
    };
    await expectRefused(
      `docker://${await registry(step)}/team/app:1`,
      'input-invalid',
      /has other content than its digest says/,
    );
  });

  it('about a manifest by its digest is detected', async () => {
    const image = madeImage(plain);
    const [manifest] = image.index['manifests'] as { digest: string }[];
    const host = await registry(() => false, image);
    await convert(`docker://${host}/team/app@${manifest?.digest ?? ''}`);
    const lying: Step = (request, response) => {
      const isManifest = request.url?.includes('/manifests/') === true;
      if (isManifest) response.end(JSON.stringify(image.index));
      return isManifest;
    };
    rmSync(at('out'), { recursive: true });
    mkdirSync(at('out'));
    await expectRefused(
      `docker://${await registry(lying)}/team/app@${manifest?.digest ?? ''}`,
      'input-invalid',
      /its manifest is not sha256:[0-9a-f]{12}$/,
    );
  });

  it.each<[string, (request: IncomingMessage) => boolean, string, RegExp]>([
    [
      'a manifest',
      ({ url = '' }) => url.includes('/manifests/'),
      'download-too-large',
      /manifest: it has more than 4194304 bytes/,
    ],
    ['a layer', isBlob, 'input-invalid', /has more than the \d+ bytes that its descriptor says/],
  ])('with %s that does not end is given up', async (_what, isMeant, code, rule) => {
    const step: Step = (request, response) => {
      if (!isMeant(request)) return false;
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
      };
      response.on('drain', more);
      more();
      return true;
    };
    await expectRefused(`docker://${await registry(step)}/team/app:1`, code, rule);
  });

  it('that breaks off is a failed download', async () => {
    const step: Step = (request, response) => {
      if (!isBlob(request)) return false;
      response.writeHead(200, { 'content-length': plain.length });
      response.write(plain.subarray(0, 700), () => response.destroy());
      return true;
    };
    await expectRefused(
      `docker://${await registry(step)}/team/app:1`,
      'download-failed',
      /the connection to 127\.0\.0\.1:\d+ broke/,
    );
  });

  it('without a blob that it lists is reported', async () => {
    const image = madeImage(plain);
    image.blobs.delete(digestOf(plain));
    await expectRefused(
      `docker://${await registry(() => false, image)}/team/app:1`,
      'not-found',
      /has no blobs\/sha256:/,
    );
  });
});
