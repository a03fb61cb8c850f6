import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../../../../qemu/free-port.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { startImageServer, type ImageServer } from '../../../../src/operator/dev/image-server.ts';
import { parsePodManifest } from '../../../../src/image/appc/pod-manifest.ts';
import { main } from '../../../../src/cli/main.ts';
import { examineMessage } from '../../../../src/wire/trust/examine.ts';
import { loopbackCertificate } from '../../../support/loopback-certificate.ts';
import { serve, type TestServer } from '../../../support/test-server.ts';
import { startTinyProxy } from '../../../support/tinyproxy.ts';
import { FakeDevice, type FakeDeviceOptions } from '../../../support/fake-device.ts';
import { until } from '../../../support/system-clock.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
let images: ImageServer;
const devices: FakeDevice[] = [];

/** Runs `wherry` with the fleet of this file. */
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', join(directory, 'fleet'), ...args]);
const at = (...names: string[]): string => join(directory, ...names);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-cli-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await mkdir(at('fleet/images'), { recursive: true });
  images = await startImageServer({ directory: at('fleet/images'), host: '127.0.0.1', port: 0 });
  const made = await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', images.url);
  expect(made).toMatchObject({ status: 0, err: '' });
  await mkdir(at('root/bin'), { recursive: true });
  await writeFile(at('root/bin/web'), '#!/bin/sh\n');
  await chmod(at('root/bin/web'), 0o755);
  for (const version of ['1.0', '2.0']) {
    const name = at(`web-${version}.aci`);
    const labels = ['--label', `version=${version}`, '--label', 'arch=aarch64'];
    const built = await run(
      'image',
      'build',
      at('root'),
      '--name',
      'example.com/web',
      ...labels,
      '--exec',
      '/bin/web',
      '-o',
      name,
      '--sign',
    );
    expect(built).toMatchObject({ status: 0, err: '' });
  }
});

afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
});

afterAll(async () => {
  await images.close();
  await broker.close();
  await rm(directory, { recursive: true });
});

function device(name: string, options: Partial<FakeDeviceOptions> = {}): FakeDevice {
  const made = new FakeDevice({ url: broker.url, fleet: 'harbour', device: name, ...options }).start();
  devices.push(made);
  return made;
}

describe('wherry deploy', () => {
  it('deploys a signed image with its limits, and waits until it is committed', async () => {
    const crane = device('crane-1');
    const limits = ['--memory', '64Mi', '--cpu', '500m', '--tasks', '20'];
    const deployed = await run('deploy', 'crane-1', '--run', `web=${at('web-1.0.aci')}`, ...limits);
    expect(deployed.status).toBe(0);
    expect(deployed.err).toContain('crane-1  version 1  committed');
    const [desired] = crane.obeyed;
    expect(desired).toMatchObject({ fleet: 'harbour', target: { device: 'crane-1' }, version: 1 });
    expect(desired?.pods.map(({ name }) => name)).toEqual(['web']);
    expect(Buffer.from(desired?.pods[0]?.manifest ?? []).toString()).toContain('"64Mi"');
    expect(crane.downloads[0]?.sizeBytes).toBe(desired?.images[0]?.sizeBytes);
    expect(crane.downloads[0]?.signature).toContain('BEGIN PGP SIGNATURE');
  });

  it('[A2.14] mounts a volume only at the mount point of its name', async () => {
    const mounts = ['--mount', 'data,path=/srv/data,readOnly=true', '--mount', 'work,path=/srv/work'];
    const made = ['--name', 'example.com/db', '--exec', '/bin/db', ...mounts, '-o', at('db.aci'), '--sign'];
    expect(await run('image', 'build', at('root'), ...made)).toMatchObject({ status: 0 });
    const crane = device('crane-20');
    const pod = ['deploy', 'crane-20', '--run', `db=${at('db.aci')}`];
    const data = ['--volume', 'data,kind=host,source=/opt/db'];
    expect(await run(...pod, ...data, '--volume', 'work,kind=empty,mode=0750,uid=33')).toMatchObject({
      status: 0,
    });
    const manifest = parsePodManifest(crane.obeyed[0]?.pods[0]?.manifest ?? new Uint8Array());
    expect(manifest.volumes).toEqual([
      { name: 'data', kind: 'host', source: '/opt/db', readOnly: false, recursive: true },
      { name: 'work', kind: 'empty', mode: 0o750, uid: 33, gid: 0, readOnly: false },
    ]);
    for (const [more, problem] of [
      [['--volume', 'log,kind=empty'], /no image of a --run pod has a mount point for the volume log/],
      [[...data, ...data], /the volume data is given twice/],
      [['--volume', 'data,source=/opt/db'], /volume: .*"kind"/],
    ] as const) {
      const refused = await run(...pod, ...more);
      expect(refused.status).toBe(64);
      expect(refused.err).toMatch(problem);
    }
  });

  it('[C110] names the network of --run pods only', async () => {
    const crane = device('crane-62');
    const pod = ['deploy', 'crane-62', '--run', `web=${at('web-1.0.aci')}`];
    expect(await run(...pod, '--network', 'bridge')).toMatchObject({ status: 0 });
    expect(await run(...pod)).toMatchObject({ status: 0 });
    const annotations = crane.obeyed.map(
      ({ pods }) => parsePodManifest(pods[0]?.manifest ?? new Uint8Array()).annotations,
    );
    expect(annotations).toEqual([[{ name: 'wherry/network', value: 'bridge' }], []]);
    for (const [args, problem] of [
      [[...pod, '--network', '../lan'], /none, bridge or the name .*"\.\.\/lan".*input-invalid/],
      [['deploy', 'crane-62', '--stop-all', '--network', 'lan'], /for --run pods; .* annotation .*usage/],
    ] as const) {
      const refused = await run(...args);
      expect(refused.err).toMatch(problem);
      expect(refused.status).toBe(64);
    }
    expect(crane.obeyed).toHaveLength(2);
  });

  it('--dry-run shows what would stop and start by the last report, and publishes nothing', async () => {
    const crane = device('crane-21');
    const both = ['--run', `web=${at('web-1.0.aci')}`, '--run', `log=${at('web-1.0.aci')}`];
    expect(await run('deploy', 'crane-21', ...both)).toMatchObject({ status: 0 });
    const next = ['--run', `log=${at('web-1.0.aci')}`, '--run', `db=${at('web-1.0.aci')}`, '--dry-run'];
    const shown = await run('deploy', 'crane-21', ...next);
    expect(shown.status).toBe(0);
    expect(shown.out).toMatch(
      /^crane-21: version 1 runs \(report of .*\)\n {2}stop {3}web\n {2}start {2}db\n {2}keep {3}log$/m,
    );
    const [json] = JSON.parse((await run('deploy', 'crane-21', ...next, '--json')).out) as object[];
    expect(json).toMatchObject({
      device: 'crane-21',
      currentVersion: 1,
      stop: ['web'],
      start: ['db'],
      keep: ['log'],
    });
    expect(crane.obeyed).toHaveLength(1);
    const unknown = await run('deploy', 'crane-22', ...next);
    expect(unknown.err).toMatch(/the broker returned no report of crane-22: .*\(not-found\)/);
  });

  it('signs with the key that the device trusts after it was provisioned', async () => {
    device('crane-2');
    await run('deploy', 'crane-2', '--run', `web=${at('web-1.0.aci')}`);
    await run('fleet', 'provision', 'crane-2', '-o', at('card'));
    const key = await readFile(at('card/etc/wherry/trust/deploy/fleet.asc'), 'utf8');
    expect(await readFile(at('card/etc/wherry/wherry.toml'), 'utf8')).toContain('device = "crane-2"');
    const examined = await examineMessage(await readFile(at('fleet/devices/crane-2/1.cbor')), {
      keys: [key],
      fleet: 'harbour',
      device: 'crane-2',
      trusted: { version: 0, payloadSha256: '', issued: 0 },
      time: { nowSeconds: Math.floor(Date.now() / 1000), clockTrusted: true },
    });
    expect(examined.outcome).toBe('new');
  });

  it('commands several devices at once, each with its own version', async () => {
    device('crane-3');
    device('crane-4');
    await run('deploy', 'crane-3', '--stop-all');
    const both = await run('deploy', 'crane-3', 'crane-4', '--stop-all', '--json');
    expect(both.status).toBe(0);
    expect(JSON.parse(both.out)).toMatchObject([
      { device: 'crane-3', version: 2, phase: 'committed' },
      { device: 'crane-4', version: 1, phase: 'committed' },
    ]);
  });

  it('exits with the reason and the status of the refusal', async () => {
    device('crane-5', { decide: () => ({ code: 'no-space', message: '3 MiB are missing' }) });
    const refused = await run('deploy', 'crane-5', '--run', `web=${at('web-1.0.aci')}`, '--json');
    expect(refused.status).toBe(70);
    expect(refused.err).toContain('wherry: crane-5 refused the command: 3 MiB are missing (no-space)');
    expect(JSON.parse(refused.out.split('\n')[0] ?? '')).toMatchObject([
      { phase: 'refused', code: 'no-space' },
    ]);
  });

  it('reports a device that does not answer, and leaves the command on the broker', async () => {
    const early = await run('deploy', 'crane-6', '--stop-all', '--timeout', '0');
    expect(early.status).toBe(75);
    expect(early.err).toMatch(/crane-6 did not finish version 1 in time \(no message of it arrived\)/);
    expect(early.err).toContain('(not-confirmed)');
    const late = device('crane-6');
    await until(() => late.obeyed.length === 1);
  });

  it('refuses an image without a signature, before anything is sent', async () => {
    const built = await run(
      'image',
      'build',
      at('root'),
      '--name',
      'example.com/bare',
      '--exec',
      '/bin/web',
      '-o',
      at('bare.aci'),
    );
    expect(built.status).toBe(0);
    const refused = await run('deploy', 'crane-7', '--run', `web=${at('bare.aci')}`);
    expect(refused.status).toBe(65);
    expect(refused.err).toMatch(/has no signature beside it; sign it with "wherry image sign/);
    expect(await readdir(at('fleet/devices'))).not.toContain('crane-7');
  });

  it.each<[string, string[], RegExp]>([
    ['nothing to run', ['deploy', 'crane-7'], /give one of these: what to run/],
    [
      'a pod and nothing at once',
      ['deploy', 'crane-7', '--run', 'web=x.aci', '--stop-all'],
      /give one of these: what to run/,
    ],
    ['an image that is not there', ['deploy', 'crane-7', '--run', 'web=x.aci'], /there is no image x.aci/],
    ['a pod without a name', ['deploy', 'crane-7', '--run', 'x.aci'], /--run takes NAME=FILE/],
    ['a device that cannot be', ['deploy', 'Crane_7', '--stop-all'], /"Crane_7" is not the name of a device/],
    [
      'a timeout that is no number',
      ['deploy', 'crane-7', '--stop-all', '--timeout', 'soon'],
      /it takes seconds/,
    ],
  ])('refuses %s', async (_name, args, problem) => {
    const refused = await run(...args);
    expect(refused.status).toBe(64);
    expect(refused.err).toMatch(problem);
    expect(refused.err).toMatch(/^wherry: .*\n$/);
  });
});

describe('wherry rollback', () => {
  it('runs the previous set again as a new version, and back', async () => {
    const crane = device('crane-8');
    await run('deploy', 'crane-8', '--run', `web=${at('web-1.0.aci')}`);
    await run('deploy', 'crane-8', '--run', `web=${at('web-2.0.aci')}`);
    const back = await run('rollback', 'crane-8');
    expect(back.status).toBe(0);
    expect(back.err).toContain('version 3 runs the pods of version 1 again');
    expect(crane.obeyed.map(({ version }) => version)).toEqual([1, 2, 3]);
    expect(crane.obeyed[2]?.pods).toEqual(crane.obeyed[0]?.pods);
    expect(crane.obeyed[2]?.images).toEqual(crane.obeyed[0]?.images);
    const forth = await run('rollback', 'crane-8');
    expect(forth.err).toContain('version 4 runs the pods of version 2 again');
  });

  it('reports a missing earlier version', async () => {
    const refused = await run('rollback', 'crane-9');
    expect(refused).toMatchObject({ status: 64, out: '' });
    expect(refused.err).toContain('no earlier version');
  });
});

describe('wherry status', () => {
  it('shows the memory and limit of each app, and which devices are not connected', async () => {
    const crane = device('crane-10');
    await run('deploy', 'crane-10', '--run', `web=${at('web-1.0.aci')}`);
    const shown = await run('status', 'crane-10');
    expect(shown.status).toBe(0);
    expect(shown.out).toMatch(
      /crane-10 +up +1 +committed +web\/app +active\/running +healthy +0 +12\.0 MiB of 64\.0 MiB \(19 %\) +success/,
    );
    await crane.close();
    expect((await run('status', 'crane-10')).out).toMatch(/crane-10 +down/);
  });

  it('is a list for programs with --json', async () => {
    device('crane-11');
    await run('deploy', 'crane-11', '--stop-all');
    const [row] = JSON.parse((await run('status', 'crane-11', '--json')).out) as unknown[];
    expect(row).toMatchObject({ device: 'crane-11', presence: { up: true }, report: { currentVersion: 1 } });
  });

  it('names a device that never reported', async () => {
    const shown = await run('status', 'crane-99');
    expect(shown.status).toBe(64);
    expect(shown.err).toContain(
      'the broker returned no report of crane-99: it has none, or this account may not read',
    );
  });

  it('shows changes until it is stopped', async () => {
    const crane = device('crane-12');
    const { terminal, stop, out } = recordingTerminal();
    const watching = main(['--fleet', at('fleet'), 'status', 'crane-12', '--watch'], {}, terminal);
    await until(() => out().includes('no pods'));
    await run('deploy', 'crane-12', '--run', `web=${at('web-1.0.aci')}`);
    await until(() => out().includes('web/app'));
    stop();
    expect(await watching).toBe(0);
    expect(crane.obeyed).toHaveLength(1);
  });

  it('continues to watch after the broker was away', async () => {
    const port = await freePort();
    const restarted = await startEmbeddedBroker({ host: '127.0.0.1', port });
    await run('fleet', 'init', 'quay', '--broker', restarted.url, '--fleet', at('quay'));
    const { terminal, stop, out, err } = recordingTerminal();
    const watching = main(['--fleet', at('quay'), 'status', 'crane-13', '--watch'], {}, terminal);
    await until(() => out().includes('no report'));
    await restarted.close();
    await until(() => err().includes('the broker is gone'));
    const back = await startEmbeddedBroker({ host: '127.0.0.1', port });
    const crane = new FakeDevice({ url: back.url, fleet: 'quay', device: 'crane-13' }).start();
    devices.push(crane);
    await until(() => out().includes('no pods'));
    stop();
    expect(await watching).toBe(0);
    await crane.close();
    await back.close();
  });

  it('reports a broker that cannot be reached', async () => {
    const made = await wherry([
      '--fleet',
      at('lost'),
      'fleet',
      'init',
      'lost',
      '--broker',
      'mqtt://127.0.0.1:1',
    ]);
    expect(made.status).toBe(0);
    const failed = await wherry(['status', '--json'], { WHERRY_FLEET: at('lost') });
    expect(failed.status).toBe(69);
    expect(JSON.parse(failed.out)).toMatchObject({ error: { code: 'broker-unreachable' } });
  });
});

it('reports a broker that refuses the account as refusing, not as unreachable', async () => {
  // CONNACK with "not authorized" (MQTT 3.1.1 §3.2.2.3)
  const broker = createServer((socket) => {
    socket.once('data', () => socket.end(Buffer.of(0x20, 2, 0, 5)));
  });
  await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve));
  const { port } = broker.address() as AddressInfo;
  const address = `mqtt://127.0.0.1:${port}`;
  await wherry(['--fleet', at('unwanted'), 'fleet', 'init', 'unwanted', '--broker', address]);
  const failed = await wherry(['status', '--json'], { WHERRY_FLEET: at('unwanted') });
  expect(failed.status).toBe(69);
  expect(JSON.parse(failed.out)).toMatchObject({ error: { code: 'broker-refused' } });
  await new Promise((resolve) => broker.close(resolve));
});

describe('wherry deploy, when the broker is restarted meanwhile', () => {
  it('reconnects and reports how the deployment ended', async () => {
    const port = await freePort();
    const restarted = await startEmbeddedBroker({ host: '127.0.0.1', port });
    const fleet = at('dock');
    await run('fleet', 'init', 'dock', '--broker', restarted.url, '--images', images.url, '--fleet', fleet);
    const { terminal, err } = recordingTerminal();
    const args = ['--fleet', fleet, 'deploy', 'crane-14', '--run', `web=${at('web-1.0.aci')}`];
    const deploying = main(args, {}, terminal);
    await until(() => err().includes('version 1  waiting'));
    await restarted.close();
    const back = await startEmbeddedBroker({ host: '127.0.0.1', port });
    // The broker has lost the command. The device already had it.
    const crane = new FakeDevice({ url: back.url, fleet: 'dock', device: 'crane-14', running: 1 }).start();
    expect(await deploying).toBe(0);
    await crane.close();
    await back.close();
  });
});

describe('images that are found by their names (discovery.md)', () => {
  const tls = loopbackCertificate(['example.com']);
  let site: TestServer;
  let finding: string[];

  beforeAll(async () => {
    site = await serve((request, response) => {
      const path = request.url ?? '';
      if (path === '/web?ac-discovery=1') {
        // The page is served over TLS. The site chooses the place of the image, because a signature
        // protects it.
        const template = `${images.url}/{name}-{version}.{ext}`;
        response.end(
          `<meta name="ac-discovery" content="example.com ${template}">` +
            '<meta name="ac-discovery-pubkeys" content="example.com https://example.com/keys.asc">',
        );
      } else response.writeHead(404).end();
    }, tls);
    await writeFile(at('ca.pem'), tls.cert);
    finding = ['--ca', at('ca.pem'), '--connect-to', `example.com:443:127.0.0.1:${new URL(site.url).port}`];
    await mkdir(at('fleet/images/example.com'), { recursive: true });
    for (const name of ['web-1.0.aci', 'web-1.0.aci.asc']) {
      await writeFile(at('fleet/images/example.com', name), await readFile(at(name)));
    }
  });
  afterAll(async () => {
    await site.close();
  });

  it('[A1.1] are shown, fetched and verified', async () => {
    const shown = await run('image', 'discover', 'example.com/web:1.0', ...finding);
    expect(shown.out).toContain(`image      ${images.url}/example.com/web-1.0.aci\n`);
    const fetched = await run(
      'image',
      'fetch',
      'example.com/web:1.0,arch=aarch64',
      '-o',
      at('fetched'),
      ...finding,
    );
    expect(fetched).toMatchObject({ status: 0 });
    expect(await readdir(at('fetched'))).toEqual([
      'example-com-web-1.0-aarch64.aci',
      'example-com-web-1.0-aarch64.aci.asc',
    ]);
  });

  it('are fetched through the proxies of the environment', async () => {
    const proxy = await startTinyProxy(['BasicAuth fleet s3cret']);
    try {
      vi.stubEnv('HTTPS_PROXY', `http://fleet:s3cret@${proxy.name}`);
      vi.stubEnv('HTTP_PROXY', `http://fleet:s3cret@${proxy.name}`);
      const fetched = await run('image', 'fetch', 'example.com/web:1.0', '-o', at('proxied'), ...finding);
      expect(fetched).toMatchObject({ status: 0 });
      vi.stubEnv('HTTP_PROXY', `http://fleet:wr0ng@${proxy.name}`);
      const refused = await run('image', 'fetch', 'example.com/web:1.0', '-o', at('proxied'), ...finding);
      expect(refused.status).toBe(69);
      expect(refused.err).toContain(`through the proxy ${proxy.name} answered with status 401`);
      expect(refused.err).not.toMatch(/wr0ng|s3cret/);
    } finally {
      vi.unstubAllEnvs();
      await proxy.stop();
    }
    const { port } = new URL(site.url);
    expect(proxy.requests.slice(0, 3)).toEqual([
      `CONNECT 127.0.0.1:${port} HTTP/1.1`,
      `GET ${images.url}/example.com/web-1.0.aci.asc HTTP/1.1`,
      `GET ${images.url}/example.com/web-1.0.aci HTTP/1.1`,
    ]);
  });

  it.each<[string, string[], number, string]>([
    ['another label than the image has', ['example.com/web:1.0,arch=armv7l'], 65, 'image-labels-mismatch'],
    ['a version that the site has not', ['example.com/web:9.9'], 65, 'image-signature-missing'],
    ['a name that the site does not know', ['example.com/nothing'], 64, 'not-found'],
    [
      'a name whose site cannot be asked',
      ['example.org/web', '--connect-to', 'example.org:443:127.0.0.1:1'],
      69,
      'download-failed',
    ],
    [
      'a key that did not sign',
      ['example.com/web:1.0', '--key', 'fleet/keys/deploy.pub.asc'],
      65,
      'image-key-untrusted',
    ],
  ])('are not fetched for %s, and nothing is left', async (_what, args, status, code) => {
    const given = args.map((arg) => (arg.startsWith('fleet/') ? at(arg) : arg));
    const refused = await run('image', 'fetch', ...given, '-o', at('nothing'), ...finding);
    expect(refused).toMatchObject({ status, err: expect.stringContaining(`(${code})`) as string });
    expect(refused.err).toContain(`wherry: ${args[0]?.replace(/[:,].*/, '') ?? ''}`);
    await expect(readdir(at('nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('[A7.14] [A9.18] are never verified with the keys that the site offers', () => {
    expect(site.requests.map(({ path }) => path)).not.toContain('/keys.asc');
  });

  it('are deployed by name: the device downloads them from the discovered address', async () => {
    const crane = device('crane-15');
    const deployed = await run(
      'deploy',
      'crane-15',
      '--run',
      'web=example.com/web:1.0,arch=aarch64',
      ...finding,
    );
    expect(deployed).toMatchObject({ status: 0 });
    expect(crane.obeyed[0]?.images[0]).toMatchObject({
      name: 'example.com/web',
      urls: [`${images.url}/example.com/web-1.0.aci`],
    });
    expect(crane.downloads).toHaveLength(1);
  });
});

describe('wherry image', () => {
  it('builds the same image from the same directory', async () => {
    const ids = [];
    for (const name of ['one.aci', 'two.aci']) {
      const built = await run(
        'image',
        'build',
        at('root'),
        '--name',
        'example.com/web',
        '--exec',
        '/bin/web',
        '-o',
        at(name),
        '--json',
      );
      ids.push((JSON.parse(built.out) as { id: string }).id);
    }
    expect(ids[0]).toBe(ids[1]);
  });

  it('shows the content of an image', async () => {
    const shown = await run('image', 'inspect', at('web-1.0.aci'), '--files');
    expect(shown.out).toContain('"name": "example.com/web"');
    expect(shown.out).toMatch(/file +0755 .*rootfs\/bin\/web/);
  });

  it('is validated, with notes about valid but unwise fields', async () => {
    const good = await run('image', 'validate', at('web-1.0.aci'));
    expect(good).toMatchObject({
      status: 0,
      out: expect.stringMatching(/valid, example\.com\/web, sha512-/) as string,
    });
    expect(good.out).not.toContain('note');
    await run('image', 'build', at('root'), '--name', 'web', '-o', at('unwise.aci'));
    const unwise = await run('image', 'validate', at('unwise.aci'), '--json');
    const [{ warnings }] = JSON.parse(unwise.out) as [{ warnings: string[] }];
    expect(warnings.join('\n')).toMatch(/not signed[^]*discovery[^]*version[^]*arch[^]*what to run/);
    await writeFile(at('no.aci'), 'no archive');
    const bad = await run('image', 'validate', at('no.aci'));
    expect(bad).toMatchObject({ status: 65, err: expect.stringContaining('no.aci: ') as string });
  });

  it('prints its manifest byte for byte', async () => {
    const plain = await run('image', 'cat-manifest', at('web-1.0.aci'));
    expect(JSON.parse(plain.out)).toMatchObject({ name: 'example.com/web' });
    expect((await run('image', 'cat-manifest', at('web-1.0.aci'), '--pretty')).out).toContain('\n  "name"');
  });

  it('is extracted into a new directory; a refused one leaves nothing', async () => {
    expect(await run('image', 'extract', at('web-1.0.aci'), at('extracted'))).toMatchObject({ status: 0 });
    expect(await readFile(at('extracted/bin/web'), 'utf8')).toBe('#!/bin/sh\n');
    expect((await stat(at('extracted/bin/web'))).mode & 0o777).toBe(0o755);
    expect(await run('image', 'extract', at('web-1.0.aci'), at('extracted'))).toMatchObject({ status: 64 });
    const cut = (await readFile(at('web-1.0.aci'))).subarray(0, -20);
    await writeFile(at('cut.aci'), cut);
    expect(await run('image', 'extract', at('cut.aci'), at('cut'))).toMatchObject({ status: 65 });
    await expect(stat(at('cut'))).rejects.toThrow('ENOENT');
  });

  it('[A9.3] verifies a signature, and refuses an image changed after signing', async () => {
    expect((await run('image', 'verify', at('web-1.0.aci'))).status).toBe(0);
    const other = await readFile(at('web-2.0.aci.asc'));
    await writeFile(at('changed.aci'), await readFile(at('web-1.0.aci')));
    await writeFile(at('changed.aci.asc'), other);
    const refused = await run('image', 'verify', at('changed.aci'));
    expect(refused.status).toBe(65);
    expect(refused.err).toContain(
      'changed.aci: the signature does not match the data (image-signature-invalid)',
    );
  });

  it('[A9.21] is not unpacked before its signature was verified', async () => {
    await writeFile(at('bomb.aci'), 'no archive at all');
    await writeFile(at('bomb.aci.asc'), await readFile(at('web-1.0.aci.asc')));
    const refused = await run('image', 'verify', at('bomb.aci'));
    expect(refused).toMatchObject({
      status: 65,
      err: expect.stringContaining('(image-signature-invalid)') as string,
    });
  });

  it.each([
    ['inspect', []],
    ['validate', []],
    ['cat-manifest', []],
    ['extract', ['refused']],
    ['render', ['-o', 'refused']],
    ['patch', ['-o', 'refused', '--name', 'example.com/other']],
    ['to-oci', ['-o', 'refused']],
  ])('[A10.11] is named with the fault when %s refuses it, and nothing is written', async (command, more) => {
    await writeFile(at('noise.aci'), 'x'.repeat(5000));
    const args = more.map((word) => (word === 'refused' ? at(word) : word));
    const refused = await run('image', command, at('noise.aci'), ...args);
    expect(refused.err).toMatch(
      /noise\.aci: .*neither a tar nor compressed in a known way \(archive-malformed\)\n$/,
    );
    expect(refused.status).toBe(65);
    await expect(stat(at('refused'))).rejects.toThrow('ENOENT');
  });

  it.each<[string, string[], RegExp]>([
    ['without a name', [], /needs a --name/],
    ['with a name that is none', ['--name', 'Web Server'], /name/],
    ['with two manifests', ['--name', 'a', '--manifest', 'b'], /either --manifest or --name/],
    ['with a label that is none', ['--name', 'a', '--label', 'x'], /--label takes NAME=VALUE/],
    ['with a limit that is none', ['--name', 'a', '--exec', '/x', '--memory', 'much'], /limit/],
    [
      'with a mount point that is none',
      ['--name', 'a', '--exec', '/x', '--mount', 'd,path=d'],
      /mount point/,
    ],
    ['with a mount point of nothing', ['--name', 'a', '--mount', 'd,path=/d'], /give it with --exec/],
  ])('is not built %s', async (_name, args, problem) => {
    const refused = await run('image', 'build', at('root'), '-o', at('bad.aci'), ...args);
    expect(refused.status).toBeGreaterThanOrEqual(64);
    expect(refused.err).toMatch(problem);
  });
});

describe('wherry keys', () => {
  it('prints the public key of a role', async () => {
    const key = await run('keys', 'export', 'deploy');
    expect(key.out).toContain('BEGIN PGP PUBLIC KEY BLOCK');
    expect(key.out).not.toContain('PRIVATE');
  });

  it('replaces a key only with the option for it', async () => {
    const refused = await run('keys', 'new', 'images');
    expect(refused.status).toBe(64);
    expect(refused.err).toContain('--force');
  });
});

describe('wherry dev', () => {
  it('creates and serves a fleet, and publishes the last command again after a restart', async () => {
    const serve = async () => {
      const session = recordingTerminal();
      const args = ['--fleet', at('devfleet'), 'dev', '--broker-port', '0', '--image-port', '0', '--json'];
      const done = main(args, {}, session.terminal);
      await until(() => session.out().includes('"ready"'));
      const first = session.out().split('\n')[0] ?? '';
      return { ...session, done, ready: JSON.parse(first) as { broker: string; images: string } };
    };
    const first = await serve();
    const toml = await readFile(at('devfleet/fleet.toml'), 'utf8');
    const use = async (ready: { broker: string; images: string }) => {
      const text = toml.replace(/url = "mqtt[^"]*"/, `url = "${ready.broker}"`);
      await writeFile(at('devfleet/fleet.toml'), text);
    };
    await use(first.ready);
    const crane = new FakeDevice({ url: first.ready.broker, fleet: 'dev', device: 'crane-1' }).start();
    const image = ['--run', `web=${at('web-1.0.aci')}`, '--base-url', first.ready.images];
    const deployed = await wherry(['--fleet', at('devfleet'), 'deploy', 'crane-1', ...image]);
    await crane.close();
    expect(deployed.status).toBe(0);
    await until(() => first.out().includes('"event":"access"'));
    first.stop();
    expect(await first.done).toBe(0);

    const second = await serve();
    const returned = new FakeDevice({ url: second.ready.broker, fleet: 'dev', device: 'crane-1' }).start();
    await until(() => returned.obeyed.length === 1);
    expect(returned.obeyed[0]?.version).toBe(1);
    await returned.close();
    second.stop();
    expect(await second.done).toBe(0);
  });
});
