import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { generateDeviceKey } from '../../../../src/wire/trust/sign.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('now/fleet'), ...args]);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-left-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  mkdirSync(at('root/bin'), { recursive: true });
  writeFileSync(at('root/bin/web'), '#!/bin/sh\n');
  chmodSync(at('root/bin/web'), 0o755);
  writeFileSync(at('secret'), 'x');
  writeFileSync(at('crane-1.asc'), (await generateDeviceKey('crane-1')).publicKey);
  const authority = ['-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=ca', '-days', '3650'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  execFileSync('openssl', ['req', '-x509', '-nodes', ...curve, ...authority], { stdio: 'ignore' });
  for (const args of [
    ['fleet', 'init', 'harbour', '--broker', broker.url],
    ['image', 'build', at('root'), '--name', 'example.com/web', '-o', at('web.aci'), '--sign'],
    ['fleet', 'enrol', 'crane-7', ...ca(), '-o', at('crane-7.enrol')],
  ])
    expect(await run(...args, ...(args[1] === 'build' ? ['--exec', '/bin/web'] : []))).toMatchObject({
      status: 0,
    });
  cpSync(at('now'), at('start'), { recursive: true });
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  rmSync(at('now'), { recursive: true });
  cpSync(at('start'), at('now'), { recursive: true });
});

const ca = (): string[] => ['--ca-cert', at('ca.pem'), '--ca-key', at('ca.key')];
const web = (): string[] => ['crane-9', '--run', `web=${at('web.aci')}`, '--no-wait'];

/** Every path with its mode and content. */
function tree(path: string, found = new Map<string, string>()): Map<string, string> {
  for (const name of readdirSync(path)) {
    const one = join(path, name);
    const { mode } = lstatSync(one);
    const isDirectory = lstatSync(one).isDirectory();
    found.set(
      one,
      `${mode.toString(8)} ${isDirectory ? '' : lstatSync(one).isFile() ? readFileSync(one, 'hex') : ''}`,
    );
    if (isDirectory) tree(one, found);
  }
  return found;
}

/** Puts a directory where a command will put a file, so that its last step fails. */
const block = (path: string): void => {
  rmSync(at('now', path), { recursive: true, force: true });
  mkdirSync(at('now', path, 'in-the-way'), { recursive: true });
};

type Case = readonly [name: string, prepare: () => unknown, args: () => string[]];

describe('[C320] a command that is refused leaves what it found:', () => {
  it.each<Case>([
    [
      'keys new --force',
      () => block('fleet/keys/deploy.pub.asc.old'),
      () => ['keys', 'new', 'deploy', '--force'],
    ],
    [
      'fleet key add, for a name that is too long for a file',
      () => undefined,
      () => ['fleet', 'key', 'add', 'crane-'.repeat(45) + '1', at('crane-1.asc')],
    ],
    [
      'fleet provision',
      () => block('card/etc/wherry/trust/images/root.d/fleet.asc'),
      () => ['fleet', 'provision', 'crane-8', '-o', at('now/card')],
    ],
    [
      'fleet enrol -o',
      () => block('crane-8.enrol'),
      () => ['fleet', 'enrol', 'crane-8', ...ca(), '-o', at('now/crane-8.enrol')],
    ],
    [
      'fleet enrol --root',
      () => block('fleet/certificates/crane-8.pem'),
      () => ['fleet', 'enrol', 'crane-8', ...ca(), '--root', at('now')],
    ],
    [
      'fleet renew',
      () => block('fleet/certificates/crane-7.pem'),
      () => [
        ...['fleet', 'renew', 'crane-7', ...ca(), '-o', at('now/next.pem')],
        ...['--cert', at('start/fleet/certificates/crane-7.pem')],
      ],
    ],
    [
      'trust root init',
      () => symlinkSync('nowhere', at('now/fleet/roots')),
      () => ['trust', 'root', 'init', '--root-key', at('now/fleet/keys/deploy.pub.asc')],
    ],
    ['deploy', () => symlinkSync('nowhere', at('now/fleet/devices/crane-9')), () => ['deploy', ...web()]],
    [
      'deploy --sign-only',
      () => block('one.cbor'),
      () => ['deploy', ...web(), '--sign-only', '-o', at('now/one.cbor')],
    ],
    [
      'deploy --sign-only into a pipe',
      () => execFileSync('mkfifo', [at('now/pipe')]),
      () => ['deploy', ...web(), '--sign-only', '-o', at('now/pipe')],
    ],
    ['deploy --secret', () => undefined, () => ['deploy', ...web(), '--secret', `token=@${at('secret')}`]],
    ['rollout start', () => block(offered()), () => ['rollout', 'start', ...web(), '--id', 'spring']],
  ])('%s', async (_name, prepare, args) => {
    prepare();
    const before = tree(at('now'));
    const refused = await run(...args());
    expect(refused.err).toMatch(/\([a-z-]+\)\n$/);
    expect(refused.status).not.toBe(0);
    expect(tree(at('now'))).toEqual(before);
  });
});

/** The signature of the image among those that the fleet offers. */
const offered = (): string => {
  const digest = createHash('sha256')
    .update(readFileSync(at('web.aci')))
    .digest('hex');
  return `fleet/images/example-com-web-${digest.slice(0, 16)}.aci.asc`;
};
