// Labels as in docs/appc-checklist.md. Vectors of the reference are facts from github.com/appc/spec
// at 259c2ee (discovery/discovery_test.go, http_test.go and testdata; Apache-2.0, Copyright 2015
// The appc Authors). There each case runs with four "insecure" options; TLS is always verified
// here, so http is the one option.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ImageName, parseNameString } from '../../../src/image/appc/name-string.ts';
import type { NameValue } from '../../../src/image/appc/types.ts';
import { discover } from '../../../src/operator/discovery/discovery.ts';
import { fetchImage, requireAsked } from '../../../src/operator/discovery/fetch-image.ts';
import { openHttpClient } from '../../../src/wire/http/http-client.ts';
import { parseCredentials } from '../../../src/wire/http/credentials-file.ts';
import type { Clock } from '../../../src/core/ports/index.ts';
import { systemClock } from '../../support/system-clock.ts';
import { loopbackCertificate } from '../../support/loopback-certificate.ts';
import { serve, steadyRandom, type TestServer } from '../../support/test-server.ts';

const hosts = ['example.com', 'other.example', 'storage.example.com'];
const tls = loopbackCertificate(hosts);
const endpoint = (template: string) => `<meta name="ac-discovery" content="example.com ${template}">`;
const full = '{name}-{version}-{os}-{arch}.{ext}';
const keys = '<meta name="ac-discovery-pubkeys" content="example.com https://example.com/pubkeys.gpg">';
/** The pages of discovery/testdata, by their content. */
const meta01 = endpoint(`https://storage.example.com/${full}`) + keys;
const meta02 = endpoint(`https://storage.example.com/${full}`);
const meta03 = keys;
const meta04 = endpoint(`https://another.storage/${full}`) + keys;
const meta05 =
  endpoint(`https://storage.example.com/${full}`) +
  endpoint('https://storage.example.com/{name}-{version}.{ext}') +
  keys;
const meta06 =
  endpoint(`https://storage.example.com/${full}`) +
  endpoint('https://storage.example.com/{name}-{version}.{ext}') +
  endpoint(`hdfs://storage.example.com/${full}`) +
  keys;

/** The answers of the servers, by scheme, host and path. */
let pages: Record<string, string | number | ((request: IncomingMessage, response: ServerResponse) => void)>;
let secure: TestServer;
let plain: TestServer;
let asked: { host: string; path: string; authorization: string | undefined }[];

const answer = (scheme: string) => (request: IncomingMessage, response: ServerResponse) => {
  const { host = '', authorization } = request.headers;
  const path = (request.url ?? '').replace('?ac-discovery=1', '');
  asked.push({ host, path: request.url ?? '', authorization });
  const page = pages[`${scheme}://${host}${path}`] ?? pages[path] ?? 404;
  if (typeof page === 'function') page(request, response);
  else if (typeof page === 'number') response.writeHead(page).end();
  else response.end(`<!doctype html><html><head><title>x</title>${page}</head><body>`);
};

beforeAll(async () => {
  secure = await serve(answer('https'), tls);
  plain = await serve(answer('http'));
});
afterAll(async () => {
  await secure.close();
  await plain.close();
});
beforeEach(() => {
  asked = [];
  pages = {};
});

/** A clock whose delays are 100 times shorter, so twenty seconds pass almost at once. */
const hurriedClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

const labels = (text: Record<string, string>): NameValue[] =>
  Object.entries(text).map(([name, value]) => ({ name, value }) as NameValue);
const all = { version: '1.0.0', os: 'linux', arch: 'amd64' };
const image = (name: string, with_: Record<string, string> = all): ImageName => ({
  ...parseNameString(name),
  labels: labels(with_),
});

async function found(
  name: ImageName,
  options: { allowHttp?: boolean; auth?: string; deadTls?: boolean; clock?: Clock } = {},
) {
  const clock = options.clock ?? systemClock;
  const port = (server: TestServer) => Number(new URL(server.url).port);
  const http = openHttpClient({
    clock,
    ca: tls.cert,
    connectTo: (host, to) =>
      hosts.includes(host)
        ? {
            host: '127.0.0.1',
            port: to === 443 ? (options.deadTls === true ? 1 : port(secure)) : port(plain),
          }
        : { host: '127.0.0.1', port: 1 },
    ...(options.auth === undefined ? {} : { credentials: parseCredentials(options.auth, 'auth.toml') }),
  });
  try {
    return await discover(name, { http, clock, allowHttp: options.allowHttp ?? false });
  } finally {
    http.close();
  }
}

const at = (path: string) => [
  { aci: `https://storage.example.com/${path}.aci`, asc: `https://storage.example.com/${path}.aci.asc` },
];
const pubkeys = ['https://example.com/pubkeys.gpg'];

describe.each([false, true])(
  '[A7.2] meta discovery (discovery.md#discovery-url), http allowed: %s',
  (allowHttp) => {
    it.each<[string, ImageName, Record<string, string>, { aci: string; asc: string }[], string[]]>([
      [
        '1, specification',
        image('example.com/myapp'),
        { '/myapp': meta01 },
        at('example.com/myapp-1.0.0-linux-amd64'),
        pubkeys,
      ],
      [
        '2, specification',
        image('example.com/myapp/foobar'),
        { '/': meta01 },
        at('example.com/myapp/foobar-1.0.0-linux-amd64'),
        pubkeys,
      ],
      [
        '3, specification',
        image('example.com/myapp/foobar/bazzer'),
        { '/path/out/of/myapp': meta01 },
        [],
        [],
      ],
      [
        '4, reference-only',
        image('example.com/myapp'),
        { '/': meta02, '/myapp': meta03 },
        at('example.com/myapp-1.0.0-linux-amd64'),
        pubkeys,
      ],
      [
        '5, reference-only',
        image('example.com/myapp'),
        { '/': meta03, '/myapp': meta02 },
        at('example.com/myapp-1.0.0-linux-amd64'),
        pubkeys,
      ],
      [
        '6, specification',
        image('example.com/myapp'),
        { '/': meta02 },
        at('example.com/myapp-1.0.0-linux-amd64'),
        [],
      ],
      ['7, specification', image('example.com/myapp'), { '/': meta03 }, [], pubkeys],
      [
        '8, reference-only',
        image('example.com/myapp'),
        { '/': meta04, '/myapp': meta02 },
        at('example.com/myapp-1.0.0-linux-amd64'),
        pubkeys,
      ],
      [
        '9, reference-only',
        image('example.com/myapp', { version: '1.0.0' }),
        { '/myapp': meta05 },
        at('example.com/myapp-1.0.0'),
        pubkeys,
      ],
      [
        '10, reference-only',
        image('example.com/myapp', {}),
        { '/myapp': meta05 },
        at('example.com/myapp-latest'),
        pubkeys,
      ],
      [
        '11, reference-only',
        image('example.com/myapp', { name: 'labelcalledname', version: '1.0.0' }),
        { '/myapp': meta05 },
        at('example.com/myapp-1.0.0'),
        pubkeys,
      ],
      [
        '12, specification',
        image('example.com/myapp'),
        { '/myapp': meta06 },
        [
          ...at('example.com/myapp-1.0.0-linux-amd64'),
          ...at('example.com/myapp-1.0.0'),
          {
            aci: 'hdfs://storage.example.com/example.com/myapp-1.0.0-linux-amd64.aci',
            asc: 'hdfs://storage.example.com/example.com/myapp-1.0.0-linux-amd64.aci.asc',
          },
        ],
        pubkeys,
      ],
    ])('case %s (discovery_test.go)', async (_number, name, served, endpoints, foundKeys) => {
      pages = served;
      const discovered = await found(name, { allowHttp });
      expect(discovered.endpoints).toEqual(endpoints);
      expect(discovered.keys).toEqual(foundKeys);
    });

    it('[A7.13] case 13, reference-only: credentials are sent only to their host', async () => {
      pages = { '/myapp': meta01 };
      await found(image('example.com/myapp'), {
        allowHttp,
        auth: '["example.com"]\nuser = "u"\npassword = "p"',
      });
      expect(asked[0]).toMatchObject({ host: 'example.com', authorization: 'Basic dTpw' });
    });
  },
);

describe('[A7.3] from https to http (http_test.go; discovery.md only has https)', () => {
  const name = image('example.com/myapp');
  it.each<[string, Record<string, string | number>, boolean, boolean, boolean, string | undefined]>([
    ['specification: https answers', { 'https://example.com/myapp': meta01 }, false, false, true, 'https'],
    ['specification: both say 404', {}, false, false, false, undefined],
    ['specification: nothing listens', {}, false, true, false, undefined],
    [
      'specification: https says 404, http answers, http is not allowed',
      { 'http://example.com/myapp': meta01 },
      false,
      false,
      false,
      undefined,
    ],
    [
      'reference-only: https says 404, http answers, http is allowed',
      { 'http://example.com/myapp': meta01 },
      true,
      false,
      true,
      'http',
    ],
    [
      'reference-only: https is down, http answers, http is allowed',
      { 'http://example.com/myapp': meta01 },
      true,
      true,
      true,
      'http',
    ],
  ])('%s', async (_what, served, allowHttp, deadTls, isFound) => {
    pages = served;
    const before = plain.requests.length;
    const { endpoints, attempts } = await found(name, { allowHttp, deadTls });
    expect(endpoints.length > 0).toBe(isFound);
    if (!isFound) expect(attempts.join()).toContain('https://example.com/myapp?ac-discovery=1');
    expect(plain.requests.length > before).toBe(allowHttp);
  });
});

describe('a page and its tags (discovery.md#discovery-url)', () => {
  const name = image('example.com/myapp');

  it.each<[string, string, boolean]>([
    [
      '[A7.5] specification: the prefix is the name',
      '<meta name="ac-discovery" content="example.com/myapp https://storage.example.com/x.{ext}">',
      true,
    ],
    [
      '[A7.5] ours: the prefix ends within a component',
      '<meta name="ac-discovery" content="example.com/my https://storage.example.com/x.{ext}">',
      false,
    ],
    [
      '[A7.5] specification: the prefix is of somebody else',
      '<meta name="ac-discovery" content="other.example https://storage.example.com/x.{ext}">',
      false,
    ],
    [
      '[A7.6] specification: there is no place for the ending',
      '<meta name="ac-discovery" content="example.com https://storage.example.com/x.aci">',
      false,
    ],
    [
      '[A7.6] reference-only: the template asks for an unknown label',
      '<meta name="ac-discovery" content="example.com https://storage.example.com/{channel}.{ext}">',
      false,
    ],
    [
      '[A7.11] ours: the content has three parts',
      '<meta name="ac-discovery" content="example.com https://storage.example.com/x.{ext} y">',
      false,
    ],
    [
      '[A7.11] ours: the tag is in a comment',
      '<!-- <meta name="ac-discovery" content="example.com https://storage.example.com/x.{ext}"> -->',
      false,
    ],
    [
      '[A7.11] ours: the tag is in a script',
      "<script>\"<meta name='ac-discovery' content='example.com https://storage.example.com/x.{ext}'>\"</script>",
      false,
    ],
    [
      '[A7.11] ours: the tag is written otherwise',
      "<META CONTENT='example.com&#32;https://storage.example.com/x.{ext}' NAME=ac-discovery />",
      true,
    ],
  ])('%s', async (_what, page, isFound) => {
    pages = { '/myapp': page };
    expect((await found(name)).endpoints.length > 0).toBe(isFound);
  });

  it('[A7.7] ours: values of labels are free text, so they are escaped in addresses', async () => {
    pages = { '/myapp': meta05 };
    const { endpoints } = await found(image('example.com/myapp', { version: '../{name}?a=b/#' }));
    expect(endpoints[0]?.aci).toBe(
      'https://storage.example.com/example.com/myapp-..%2F%7Bname%7D%3Fa%3Db%2F%23.aci',
    );
  });

  it('[A7.7] ours: a control character in a label is refused', async () => {
    await expect(found(image('example.com/myapp', { version: '1\n' }))).rejects.toMatchObject({
      code: 'input-invalid',
    });
  });

  it('[A7.4] specification: redirects are followed; ours: without credentials', async () => {
    pages = {
      'https://example.com/myapp': (_request, response) =>
        void response.writeHead(302, { location: 'https://other.example/found' }).end(),
      'https://other.example/found': meta01,
    };
    const { endpoints } = await found(name, { auth: '["example.com"]\ntoken = "t"' });
    expect(endpoints).toHaveLength(1);
    expect(asked.map(({ host, authorization }) => [host, authorization])).toEqual([
      ['example.com', 'Bearer t'],
      ['other.example', undefined],
    ]);
  });

  it('[A7.9] ours: an endless page is read up to the limit, with the tags before it', async () => {
    pages = {
      '/myapp': (_request, response) => {
        response.write(`<html><head>${meta01}`);
        const more = () => {
          while (response.write('x'.repeat(65_536)));
          response.once('drain', more);
        };
        more();
      },
    };
    expect((await found(name)).endpoints).toHaveLength(1);
  });

  it('[A7.8] [A7.13] ours: names the request and the response, with advice for 401', async () => {
    pages = { '/myapp': 401 };
    const { attempts } = await found(name);
    expect(attempts).toEqual([
      'https://example.com/myapp?ac-discovery=1: https://example.com/myapp answered with status 401: it requires credentials: put user and password, or token, into the file of credentials below ["example.com"]',
      'https://example.com?ac-discovery=1 answered 404',
    ]);
  });
});

describe('discovery continues with the parent of a name (discovery.md#discovery-url)', () => {
  const name = image('example.com/myapp');

  it.each<[string, (typeof pages)[string]]>([
    ['specification: 404', 404],
    [
      'specification: 404, whatever its page says',
      (_request, response) => void response.writeHead(404).end(meta05.replaceAll('storage.', 'wrong.')),
    ],
    ['specification: 401', 401],
    ['specification: 410', 410],
    ['reference-only: 500', 500],
    ['specification: a page without a tag', 'a page about something else'],
    [
      'specification: a tag for other names',
      endpoint('https://storage.example.com/x.{ext}').replace('example.com ', 'other.example '),
    ],
    [
      'reference-only: a template that cannot be rendered',
      endpoint('https://storage.example.com/{channel}.{ext}'),
    ],
    [
      'reference-only: a page that breaks off',
      (_request, response) => {
        response.writeHead(200, { 'content-length': 1000 });
        response.write('<html><head>', () => response.destroy());
      },
    ],
    [
      'ours: a redirect to http',
      (_request, response) => void response.writeHead(302, { location: 'http://example.com/myapp' }).end(),
    ],
  ])('[A7.8] %s', async (_what, page) => {
    pages = {
      'https://example.com/myapp': page,
      'http://example.com/myapp': meta05,
      'https://example.com': meta01,
      'https://example.com/': meta01,
    };
    const { endpoints } = await found(name);
    expect(endpoints).toEqual(at('example.com/myapp-1.0.0-linux-amd64'));
    expect(asked.map(({ path }) => path)).toEqual(['/myapp?ac-discovery=1', '/?ac-discovery=1']);
  });

  it('[A7.8] ours: and reports each failure', async () => {
    pages = { '/myapp': 500, '/': 'no tag' };
    expect((await found(name)).attempts).toEqual([
      'https://example.com/myapp?ac-discovery=1 answered 500',
      'https://example.com?ac-discovery=1 has no tag for discovery',
    ]);
  });

  it('[A7.4] ours: a redirect from https to http needs the same permission as http', async () => {
    pages = {
      'https://example.com/myapp': (_request, response) =>
        void response.writeHead(302, { location: 'http://other.example/found' }).end(),
      'http://other.example/found': meta01,
    };
    const before = plain.requests.length;
    const { endpoints, attempts } = await found(name);
    expect(endpoints).toEqual([]);
    expect(attempts[0]).toContain('a redirect from https to http');
    expect(plain.requests).toHaveLength(before);
  });

  it('[A7.9] ours: a page that does not end in time is abandoned', async () => {
    pages = { '/myapp': (_request, response) => void response.write(`<html>${meta01}`) };
    const { attempts } = await found(name, { clock: hurriedClock });
    expect(attempts[0]).toMatch(/within 20 s/);
  });

  it('[A7.10] ours: addresses of other schemes are named and not fetched', async () => {
    pages = { '/myapp': endpoint(`hdfs://storage.example.com/${full}`) };
    const { endpoints } = await found(name);
    const http = openHttpClient({ clock: systemClock });
    const refused = fetchImage({
      ports: { http, clock: systemClock, random: steadyRandom },
      image: name,
      endpoints,
      keys: [],
      output: '/nowhere/app.aci',
      maxBytes: 1,
      onProgress: () => undefined,
    });
    await expect(refused).rejects.toMatchObject({
      code: 'download-failed',
      message:
        'example.com/myapp: only hdfs://storage.example.com/example.com/myapp-1.0.0-linux-amd64.aci was found; https is what can be fetched',
    });
    http.close();
  });

  it('[A7.15] specification: does not derive an address from the name, as before 0.8.0', async () => {
    expect(await found(name)).toMatchObject({ endpoints: [], keys: [] });
    expect(asked.every(({ path }) => path.endsWith('?ac-discovery=1'))).toBe(true);
  });

  it.each<[string, Record<string, string>, string[]]>([
    [
      'with the appc name that was asked for',
      { version: '1', os: 'linux', arch: 'aarch64' },
      ['myapp-1-linux-aarch64', 'myapp-1'],
    ],
    ['with nothing added where none was', { version: '1' }, ['myapp-1']],
  ])('[A7.16] ours: templates are filled %s', async (_what, asked_, files) => {
    pages = { '/myapp': meta05 };
    const { endpoints } = await found(image('example.com/myapp', asked_));
    expect(endpoints).toEqual(files.flatMap((file) => at(`example.com/${file}`)));
  });
});

describe('[A7.13] credentials (discovery.md: 401 is a matter of policy)', () => {
  it('are sent over TLS only, unless the table allows http', () => {
    const credentials = parseCredentials(
      '["a.example"]\ntoken = "t"\n["b.example:8080"]\nuser = "u"\npassword = "p"\nplain = true',
      'f',
    );
    expect(credentials.authorize(new URL('https://a.example/x'))).toBe('Bearer t');
    expect(credentials.authorize(new URL('http://a.example/x'))).toBeUndefined();
    expect(credentials.authorize(new URL('https://a.example:444/x'))).toBeUndefined();
    expect(credentials.authorize(new URL('http://b.example:8080/x'))).toBe('Basic dTpw');
    expect(credentials.authorize(new URL('https://c.example/x'))).toBeUndefined();
  });

  it.each([
    ['[x', /line 1/],
    ['x = 1', /expected a table/],
    ['["h"]\nuser = "u"', /expected user/],
    ['["h"]\nuser = "u:v"\npassword = "s3cret"', /without a colon/],
    ['["h"]\ntoken = "s3cret\\n"', /expected user/],
    ['["h"]\ntoken = "s3cret"\nuser = "u"', /expected user/],
    ['["h"]\ntoken = "s3cret"\nuse = "u"', /"use" is not known/],
    ['["http://p"]\ntoken = "s3cret"', /"token" is not known/],
    ['["http://p"]\nuser = "s3cret"', /expected user .* for a proxy/],
    ['["socks5://p"]\nuser = "u"\npassword = "s3cret"', /expected a host, or a proxy such as/],
    ['["http://p/path"]\nuser = "u"\npassword = "s3cret"', /expected a host, or a proxy such as/],
  ])('%j is refused without the secret in the message', (toml, problem) => {
    const parse = () => parseCredentials(toml, 'auth.toml');
    expect(parse).toThrow(problem);
    expect(parse).not.toThrow(/s3cret/);
  });
});

describe('[A7.12] name and labels after the fetch (discovery.md#validation; rkt 171c416, tests/rkt_fetch_test.go, TestDifferentDiscoveryLabels)', () => {
  const manifest = {
    name: 'example.com/app',
    labels: labels({ version: '1.2.0', os: 'linux', arch: 'amd64' }),
  } as never;
  it.each([
    [
      'specification',
      'example.com/app:2.0',
      /the requested label is version=2\.0, but the image has "1\.2\.0"/,
    ],
    // Only an absent version means the latest one.
    [
      'reference-only',
      'example.com/app:latest',
      /the requested label is version=latest, but the image has "1\.2\.0"/,
    ],
    [
      'specification',
      'example.com/app,arch=armv7b',
      /the requested label is arch=armv7b, but the image has "amd64"/,
    ],
    [
      'specification',
      'example.com/app,unexistinglabel=bla',
      /unexistinglabel=bla, but the image has no such label/,
    ],
    [
      'specification',
      'example.com/other',
      /the manifest names example\.com\/app, not the requested example\.com\/other/,
    ],
  ])('%s: %s does not match the fetched image', (_label, asked_, problem) => {
    expect(() => requireAsked(parseNameString(asked_), manifest)).toThrow(problem);
  });

  it.each(['example.com/app', 'example.com/app:1.2.0', 'example.com/app:1.2.0,arch=amd64'])(
    'specification: %s matches; the image may have other labels',
    (asked_) => {
      expect(() => requireAsked(parseNameString(asked_), manifest)).not.toThrow();
    },
  );
});
